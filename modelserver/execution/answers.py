"""The answer of a run, made of those of its last nodes."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from modelserver.execution.documents import json_object
from modelserver.execution.node_run import NodeRun
from modelserver.jobs import Answer

OK = 200
JSON_HEAD = b"OK\r\ncontent-type: application/json\r\n"
TRACE = b"x-workflow-trace"
"""The field with which a client asks for the times of a run, and gets them."""


def answer_of_leaf(leaf: NodeRun, is_strict: bool) -> Answer:
    """
    Return the answer of a run that one node makes alone.

    :param is_strict: as in TorchServe, status and headers of the handler do not count.
    :raises NodeFailed: the node was called for each item of a list, and an answer is no JSON.
    """
    if leaf.is_split or leaf.answer is None:
        return Answer(OK, JSON_HEAD, leaf.list_of_items())
    body = leaf.outputs[0].data
    if is_strict:
        return Answer(OK, JSON_HEAD, body)
    return Answer(leaf.answer.status, with_type(leaf.answer.header_block), body)


def answer_of_leaves(leaves: Sequence[NodeRun]) -> Answer:
    """
    Return the answer of a run that several nodes make: a JSON object by their names.

    In TorchServe the answer of each has to be an object; here any JSON is taken.

    :raises NodeFailed: the answer of one is no JSON.
    """
    return Answer(OK, JSON_HEAD, json_object({leaf.node.name: leaf.document() for leaf in leaves}))


def with_type(block: bytes) -> bytes:
    """Return the head of a handler's answer: its type is JSON, as in TorchServe, unless it says another."""
    if not block:
        return JSON_HEAD
    if b"\r\ncontent-type:" in block.lower():
        return block
    return block + b"content-type: application/json\r\n"


def with_trace(answer: Answer, node_runs: Sequence[NodeRun]) -> Answer:
    """Return an answer with a header that tells how long each node took, and how often it was called."""
    times = [
        f"{quote(each.node.name, safe='')};ms={(each.ended - each.begun) * 1000:.1f};attempts={each.attempts}"
        for each in node_runs
    ]
    line = b"%b: %b\r\n" % (TRACE, ", ".join(times).encode("ascii"))
    return answer._replace(header_block=answer.header_block + line)
