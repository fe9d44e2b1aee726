"""What a client can be told about workflows, beside what ``modelserver.errors`` has for models."""

from __future__ import annotations

from modelserver.errors import ServingError, WorkersFailed
from modelserver.language.attributes import frozen


@frozen
class WorkflowNotFound(ServingError):
    """No workflow has this name."""

    workflow: str

    def __str__(self) -> str:
        return f"Workflow not found: {self.workflow}"


@frozen
class WorkflowVersionNotFound(ServingError):
    """The workflow exists, this version of it does not."""

    workflow: str
    version: str

    def __str__(self) -> str:
        return f"Workflow version: {self.version} does not exist for workflow: {self.workflow}"


@frozen
class WorkflowExists(ServingError):
    """
    The workflow is registered already.

    :param version: for a workflow that says its version, else None.
    """

    workflow: str
    version: str | None = None

    def __str__(self) -> str:
        if self.version is None:
            return f"Workflow {self.workflow} is already registered."
        return f"Workflow {self.workflow} version {self.version} is already registered."


@frozen
class WorkflowBusy(WorkflowExists):
    """A workflow of this name is on its way in or out, in whichever version."""

    def __str__(self) -> str:
        return f"Workflow {self.workflow} is being registered or unregistered; try again later."


@frozen
class DefaultWorkflowInUse(ServingError):
    """The default version of a workflow cannot go while others exist."""

    workflow: str

    def __str__(self) -> str:
        return f"Cannot remove default version for workflow {self.workflow}"


@frozen
class ModelInUse(ServingError):
    """A version cannot go while workflows need it."""

    model: str
    version: str
    workflows: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"Model {self.model} version {self.version} is a node of workflow {', '.join(self.workflows)}; "
            "unregister that first."
        )


@frozen
class WorkflowStoreMissing(ServingError):
    """There is no workflow store to look in."""

    def __str__(self) -> str:
        return "Workflow store has not been configured."


@frozen
class WorkflowArchiveNotFound(ServingError):
    """The URL of a registration leads to no archive that may be read."""

    url: str
    reason: str = ""

    def __str__(self) -> str:
        return self.reason or f"Workflow not found in workflow store: {self.url}"


@frozen
class NodeNotRegistered(ServingError):
    """
    A node of a workflow could not be registered.

    :param model: what the node's model would be called.
    :param cause: why not.
    """

    node: str
    model: str
    cause: ServingError

    def __str__(self) -> str:
        if isinstance(self.cause, WorkersFailed):
            return str(self.cause)
        return f"Workflow Node {self.model} failed to register. Details: {self.cause}"


@frozen
class WorkflowFailed(ServingError):
    """A workflow could not be registered, and nothing is left of it; ``failures`` has at least one."""

    workflow: str
    failures: tuple[NodeNotRegistered, ...]

    def __str__(self) -> str:
        causes = ", ".join(map(str, self.failures))
        return f"Workflow {self.workflow} has failed to register. Failures: [{causes}]"


@frozen
class WorkflowStays(ServingError):
    """A workflow is unregistered, but parts of it do not end."""

    workflow: str
    details: str

    def __str__(self) -> str:
        return f"Error while unregistering the workflow {self.workflow}. Details: {self.details}"


@frozen
class WorkflowInvalid(ServingError):
    """The archive of a workflow, its manifest or its specification breaks a rule; ``reason`` says where."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class GraphInvalid(ServingError):
    """
    The edges of a workflow are no graph that can be run from one start to its ends.

    :param reason: TorchServe's text.
    :param where: what breaks the rule, and its line where that is known.
    :param node: where to look for it.
    """

    reason: str
    where: str = ""
    node: str = ""

    def __str__(self) -> str:
        return f"{self.reason} ({self.where})" if self.where else self.reason


@frozen
class NodeFailed(ServingError):
    """
    A node of a run has failed as often as it may; ``str`` is what TorchServe's clients see of it.

    :param attempts: how often it was called.
    :param cause: of the last failure; None: ``reason`` says it.
    """

    workflow: str
    node: str
    attempts: int
    cause: ServingError | None = None
    reason: str = ""

    def __str__(self) -> str:
        return f"Error executing {self.node}"
