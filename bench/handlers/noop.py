"""Answers at once: what remains is the cost of the server."""

from __future__ import annotations

from typing import Any


def handle(data: list[dict[str, Any]] | None, context: object) -> list[str] | None:
    """Answer ``OK`` for each request."""
    return None if data is None else ["OK"] * len(data)
