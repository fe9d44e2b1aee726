"""TorchServe's words for workflows, which Multi Model Server does not have."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from modelserver.errors import ServingError
from modelserver.rest.dialects.bodies import Refusal
from modelserver.workflows import errors

_NOT_FOUND = "WorkflowNotFoundException"
_CONFLICT = "ConflictStatusException"

WORKFLOW_REFUSALS: Mapping[type[ServingError], Refusal] = MappingProxyType(
    {
        errors.WorkflowNotFound: Refusal(404, _NOT_FOUND),
        errors.WorkflowVersionNotFound: Refusal(404, _NOT_FOUND),
        errors.WorkflowExists: Refusal(409, _CONFLICT),
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
