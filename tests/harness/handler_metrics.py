"""What a handler has counted through its context."""

from __future__ import annotations

from typing import Any

from modelserver.child.context import Context


def drained(context: Context) -> list[dict[str, Any]]:
    """Return what the handler has counted."""
    metrics: Any = context.metrics
    records: list[dict[str, Any]] = metrics.drain()
    return records
