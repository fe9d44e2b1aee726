"""A service of Multi Model Server with types; see the other file."""

from __future__ import annotations

from mms.context import Context
from mms.service import PredictionException


def handle(data: list[dict[str, bytes]] | None, context: Context) -> list[str] | None:
    """Answer each row."""
    if data is None:
        return None
    if not data[0].get("body"):
        raise PredictionException("there is no body", 400)
    context.metrics.add_time("Nothing", 1.0)
    context.set_response_status(200, "fine", 0)
    return ["OK"] * len(data)
