"""Streams a hundred parts of a hundred bytes: what remains is the cost of a part."""

from __future__ import annotations

from typing import Any

PARTS, PART = 100, "x" * 100


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    """Send all parts but the last, and answer with that."""
    if data is None:
        return None
    from ts.handler_utils.utils import send_intermediate_predict_response

    for _ in range(PARTS - 1):
        send_intermediate_predict_response([PART] * len(data), context.request_ids, "", 200, context)
    return [PART] * len(data)
