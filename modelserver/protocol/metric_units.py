"""Units, and reserved names, of the metrics that handlers emit."""

from __future__ import annotations

from collections.abc import Mapping

TIME_UNITS = ("ms", "s")
SIZE_UNITS = ("MB", "kB", "GB", "B")

UNIT_NAMES: Mapping[str, str] = {
    "ms": "Milliseconds",
    "s": "Seconds",
    "percent": "Percent",
    "count": "Count",
    "MB": "Megabytes",
    "GB": "Gigabytes",
    "kB": "Kilobytes",
    "B": "Bytes",
    "": "unit",
}
"""The word for a unit in the handler API, and the name that the peers write for it."""

PROFILE_PREFIX = "ts_handler_"
"""
Begins the names of the times that ``handler: {profile: true}`` in a ``model-config.yaml`` asks for: they are
kept without a declaration, for nobody would see them otherwise.
"""
