"""Sends every body back: what remains is the cost of moving bytes."""

from __future__ import annotations

from typing import Any


def handle(data: list[dict[str, Any]] | None, context: object) -> list[bytes] | None:
    """Answer each request with its own body."""
    return None if data is None else [row["body"] for row in data]
