"""Answers in parts, while the handler is still at work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from modelserver.child.context import PredictionException

if TYPE_CHECKING:
    from modelserver.child.context import Context

NOTHING = b""
"""The part of a request that has none this time."""


def send_intermediate_predict_response(
    ret: Sequence[object],
    req_id_map: Mapping[int, str] | None,
    message: str,
    code: int,
    context: Context | None = None,
) -> None:
    """
    Send a part to the clients now; what the handler returns in the end is the last one.

    :param ret: a part for each request of ``req_id_map``.
    :param req_id_map: ``context.request_ids``, or some of them; the others of the batch get nothing now.
    :raises PredictionException: ``code`` is not 200; the batch ends with ``message``.
    :raises RuntimeError: nothing can be streamed from here.
    """
    if code != 200:
        raise PredictionException(message, code)
    if context is None or (send := context.send_parts) is None:
        raise RuntimeError("Parts of an answer can be sent only from a handler that a server has called.")
    if req_id_map and context.given_ids is not req_id_map:
        everyone = context.request_ids
        if everyone and everyone != req_id_map:
            ret = _for_some(ret, req_id_map, everyone)
    send(ret)


def _for_some(
    ret: Sequence[object], chosen: Mapping[int, str], everyone: Mapping[int, str]
) -> Sequence[object]:
    part_of = dict(zip(chosen.values(), ret, strict=False))
    return [part_of.get(request_id, NOTHING) for request_id in everyone.values()]
