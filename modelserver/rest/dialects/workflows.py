"""TorchServe's words for workflows, which Multi Model Server does not have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from modelserver.errors import ServingError
from modelserver.interfaces import Reply
from modelserver.rest.dialects.json_text import milliseconds, pretty
from modelserver.rest.dialects.refusals import Refusal
from modelserver.workflows import errors
from modelserver.workflows.graph import Graph
from modelserver.workflows.spec import Condition, Items, Node, NodeModel, Workflow

_NOT_FOUND = "WorkflowNotFoundException"
_CONFLICT = "ConflictStatusException"

WORKFLOW_REFUSALS: Mapping[type[ServingError], Refusal] = MappingProxyType(
    {
        errors.WorkflowNotFound: Refusal(404, _NOT_FOUND),
        errors.WorkflowVersionNotFound: Refusal(404, _NOT_FOUND),
        errors.WorkflowExists: Refusal(409, _CONFLICT),
        errors.WorkflowBusy: Refusal(409, _CONFLICT),
        errors.WorkflowStoreMissing: Refusal(404, _NOT_FOUND),
        errors.WorkflowArchiveNotFound: Refusal(404, _NOT_FOUND),
        errors.NodeNotRegistered: Refusal(500, "WorkflowException"),
        errors.WorkflowFailed: Refusal(500, "WorkflowException"),
        errors.WorkflowStays: Refusal(500, "InternalServerException"),
        # TorchServe unregisters it, and the workflow fails from then on.
        errors.ModelInUse: Refusal(409, _CONFLICT),
        errors.DefaultWorkflowInUse: Refusal(403, "InvalidWorkflowVersionException"),
        # TorchServe maps neither of its classes, and answers 500.
        errors.WorkflowInvalid: Refusal(400, "InvalidWorkflowException"),
        errors.GraphInvalid: Refusal(400, "InvalidDAGException"),
        errors.NodeFailed: Refusal(500, "InternalServerException"),
    }
)
"""What is said for each class of error: rows of the dialect's own table."""


def workflow_registered(name: str) -> Reply:
    """A registration that came to its end."""
    return _status(f"Workflow {name} has been registered and scaled successfully.")


def workflow_unregistered(name: str) -> Reply:
    """A workflow that is gone."""
    return _status(f'Workflow "{name}" unregistered')


def workflow_default_set(name: str, version: str) -> Reply:
    """A new default version, which TorchServe's workflows do not have."""
    return _status(f'Default version successfully updated for workflow "{name}" to "{version}"')


def workflows_listed(workflows: Iterable[Workflow], next_token: str | None) -> Reply:
    """A page of the list of workflows."""
    token = {} if next_token is None else {"nextPageToken": next_token}
    rows = [{"workflowName": each.name, "workflowUrl": each.url} for each in workflows]
    return Reply(200, pretty(token | {"workflows": rows}))


def workflows_described(workflows: Sequence[Workflow], default: Workflow) -> Reply:
    """
    One or all versions of a workflow, as an array; what each node is, only this server says.

    :param default: the version that is meant where a request names none.
    """
    return Reply(200, pretty([_described(each, each is default) for each in workflows]))


def _status(text: str) -> Reply:
    return Reply(200, pretty({"status": text}))


def _described(workflow: Workflow, is_default: bool) -> dict[str, object]:
    spec = workflow.spec
    keys: dict[str, object] = {
        "workflowName": workflow.name,
        "workflowUrl": workflow.url,
        "minWorkers": spec.defaults.min_workers,
        "maxWorkers": spec.defaults.max_workers,
        "batchSize": spec.defaults.batch_size,
        "maxBatchDelay": milliseconds(spec.defaults.max_batch_delay),
        "workflowDag": _dag(spec.graph),
    }
    if spec.version is not None:
        keys |= {"workflowVersion": spec.version, "defaultVersion": is_default}
    keys["nodes"] = [_node(node, workflow.models[name]) for name, node in spec.nodes.items()]
    return keys


def _dag(graph: Graph) -> str:
    """Write the edges as Java writes a map of lists."""
    edges = [f"{node}=[{', '.join(after)}]" for node, after in graph.written.items()]
    return f"{{{', '.join(edges)}}}"


def _node(node: Node, called: NodeModel) -> dict[str, object]:
    keys: dict[str, object] = {"name": node.name, "modelName": called.name}
    if called.version is not None:
        keys["modelVersion"] = called.version
    if node.url is not None:
        keys["url"] = node.url
    if node.function is not None:
        keys["function"] = node.function
    keys["retryAttempts"] = node.settings.retry_attempts
    keys["timeoutMs"] = milliseconds(node.settings.timeout)
    if node.items is not Items.WHOLE:
        keys["items"] = node.items.value
    if node.conditions:
        keys["when"] = dict(map(_condition, node.conditions))
    return keys


def _condition(condition: Condition) -> tuple[str, object]:
    return ".".join(condition.path), list(condition.values)
