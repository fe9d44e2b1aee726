"""
Runs whose clients send a ModelInferRequest and get a ModelInferResponse (Open Inference Protocol over gRPC).

The first node gets the request as a model would. Between nodes, answers are what handlers return, as JSON.
The worker of the last node makes the response; the run tells it how the request was named.
"""

from __future__ import annotations

import json

from modelserver.errors import BadRequest
from modelserver.execution.node_run import NodeRun
from modelserver.execution.plan import Plan
from modelserver.jobs import Inputs
from modelserver.protocol.frames import INFER, PASSES
from modelserver.protocol.wire_format import Buffer, WireInvalid, spans, text
from modelserver.workflows.errors import NodeFailed
from modelserver.workflows.spec import Items

_NAMES = {0x0A: "model_name", 0x12: "model_version", 0x1A: "id"}
_RAW_CONTENTS = 0x3A


def with_reply(inputs: Inputs, message: Buffer, plan: Plan) -> Inputs:
    """
    Return the inputs of a run whose client wants a ModelInferResponse; all others as they are.

    :param message: the body, which is read where it lies.
    :raises BadRequest: it is no message, or not one node alone makes the answer.
    """
    if not inputs.flags & INFER or len(plan.nodes) == 1:
        return inputs
    if not plan.has_one_leaf or plan.nodes[-1].items is Items.SPLIT:
        raise BadRequest(
            f"Workflow {plan.workflow} does not answer with tensors: not one node alone answers."
        )
    names: dict[str, object] = {"model_name": "", "model_version": "", "id": "", "is_raw": False}
    try:
        for tag, start, end in spans(message, 0, len(message)):
            if tag in _NAMES:
                names[_NAMES[tag]] = text(message, start, end)
            elif tag == _RAW_CONTENTS:
                names["is_raw"] = True
    except WireInvalid as error:
        raise BadRequest(str(error)) from error
    return inputs._replace(extra=json.dumps({"infer": names}).encode(), flags=inputs.flags | PASSES)


def check_reply(leaf: NodeRun, request: Inputs) -> None:
    """
    Check that the node that answers was told to make a message, if one is wanted.

    :raises NodeFailed: it is not the last one, for all behind it were passed over.
    """
    if request.flags & PASSES and leaf.node.children:
        reason = "the nodes behind it were passed over, and its answer is no ModelInferResponse"
        raise NodeFailed(leaf.run.workflow, leaf.node.name, leaf.attempts, reason=reason)
