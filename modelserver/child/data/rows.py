"""The rows of ``data``: one for each request."""

from __future__ import annotations

import json


def row_value(row: object) -> object:
    """What a request carries: its field ``data``, else its ``body``; a row that is no dict is the value."""
    if not isinstance(row, dict):
        return row
    value = row.get("data")
    return row.get("body") if value is None else value


def json_value(row: object) -> object:
    """
    What a request carries, decoded if it is still text or bytes; a row with neither field is the value.

    :raises ValueError: it is no JSON.
    """
    value = row_value(row)
    if value is None:
        return row
    if isinstance(value, bytes | bytearray | memoryview | str):
        return json.loads(bytes(value) if isinstance(value, memoryview) else value)
    return value
