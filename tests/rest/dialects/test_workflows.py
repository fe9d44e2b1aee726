"""TorchServe's words for what goes wrong with workflows."""

from __future__ import annotations

import json
from unittest import TestCase

from modelserver.errors import ArchiveNotFound, PredictionFailed, ServingError, WorkersFailed
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.dialects.workflows import WORKFLOW_REFUSALS
from modelserver.workflows import errors

NOT_REGISTERED = errors.NodeNotRegistered("c", "w__c", ArchiveNotFound("absent.mar"))

# error, code, type, message
REFUSALS: list[tuple[ServingError, int, str, str]] = [
    (errors.WorkflowNotFound("w"), 404, "WorkflowNotFoundException", "Workflow not found: w"),
    (
        errors.WorkflowVersionNotFound("w", "2"),
        404,
        "WorkflowNotFoundException",
        "Workflow version: 2 does not exist for workflow: w",
    ),
    (errors.WorkflowExists("w"), 409, "ConflictStatusException", "Workflow w is already registered."),
    (
        errors.WorkflowBusy("w", "2"),
        409,
        "ConflictStatusException",
        "Workflow w is being registered or unregistered; try again later.",
    ),
    (
        errors.WorkflowExists("w", "2"),
        409,
        "ConflictStatusException",
        "Workflow w version 2 is already registered.",
    ),
    (
        errors.WorkflowStoreMissing(),
        404,
        "WorkflowNotFoundException",
        "Workflow store has not been configured.",
    ),
    (
        errors.WorkflowArchiveNotFound("w.war"),
        404,
        "WorkflowNotFoundException",
        "Workflow not found in workflow store: w.war",
    ),
    (
        errors.WorkflowArchiveNotFound("../w", "Relative path is not allowed in url: ../w"),
        404,
        "WorkflowNotFoundException",
        "Relative path is not allowed in url: ../w",
    ),
    (
        NOT_REGISTERED,
        500,
        "WorkflowException",
        "Workflow Node w__c failed to register. Details: Model not found at: absent.mar",
    ),
    (
        errors.WorkflowFailed("w", (NOT_REGISTERED,)),
        500,
        "WorkflowException",
        "Workflow w has failed to register. Failures: [Workflow Node w__c failed to register. "
        "Details: Model not found at: absent.mar]",
    ),
    (
        errors.WorkflowFailed("w", (errors.NodeNotRegistered("c", "w__c", WorkersFailed("w__c", "1.0")),)),
        500,
        "WorkflowException",
        "Workflow w has failed to register. Failures: [Failed to start workers for model w__c version: 1.0]",
    ),
    (
        errors.WorkflowStays("w", "w__c"),
        500,
        "InternalServerException",
        "Error while unregistering the workflow w. Details: w__c",
    ),
    (
        errors.ModelInUse("w__c", "1.0", ("v", "w")),
        409,
        "ConflictStatusException",
        "Model w__c version 1.0 is a node of workflow v, w; unregister that first.",
    ),
    (
        errors.DefaultWorkflowInUse("w"),
        403,
        "InvalidWorkflowVersionException",
        "Cannot remove default version for workflow w",
    ),
    (
        errors.WorkflowInvalid("Workflow name is not defined."),
        400,
        "InvalidWorkflowException",
        "Workflow name is not defined.",
    ),
    (
        errors.GraphInvalid("Not a valid DAG", "a loop holds b"),
        400,
        "InvalidDAGException",
        "Not a valid DAG (a loop holds b)",
    ),
    (errors.NodeFailed("w", "n", 2), 500, "InternalServerException", "Error executing n"),
]


class WorkflowRefusalTests(TestCase):
    """Code, type and text of each error."""

    def test_errors_are_told_in_the_words_of_the_peer(self) -> None:
        for error, code, kind, message in REFUSALS:
            with self.subTest(error):
                reply = TorchServe().failed(error)
                self.assertEqual(code, reply.code)
                body = json.loads(reply.body)
                self.assertEqual((code, kind, message), (body["code"], body["type"], body["message"]))

    def test_failed_node_is_named_with_its_cause(self) -> None:
        cause = PredictionFailed(503, "Prediction failed", "KeyError", "'x'")
        error = errors.NodeFailed("w", "n", 2, cause)
        told = {"node": "n", "attempts": 2, "cause": "handler"}
        more = {"reason": "Prediction failed", "exception": "KeyError", "text": "'x'"}
        for is_exposed, extra in ((True, told | more), (False, told)):
            body = json.loads(TorchServe(is_exposed).failed(error).body)
            self.assertEqual(
                extra, {key: body[key] for key in body if key not in ("code", "type", "message")}
            )

    def test_every_error_of_workflows_has_a_row(self) -> None:
        kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
        ours = {kind for kind in kinds if kind.__module__ == errors.__name__}
        self.assertEqual(ours, set(WORKFLOW_REFUSALS))
        self.assertEqual(ours, {type(error) for error, *_ in REFUSALS})
