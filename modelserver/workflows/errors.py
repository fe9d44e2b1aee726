"""What a client can be told about workflows, beside what ``modelserver.errors`` has for models."""

from __future__ import annotations

from attrs import frozen

from modelserver.errors import ServingError


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
class DefaultWorkflowInUse(ServingError):
    """The default version of a workflow cannot go while others exist."""

    workflow: str

    def __str__(self) -> str:
        return f"Cannot remove default version for workflow {self.workflow}"


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
