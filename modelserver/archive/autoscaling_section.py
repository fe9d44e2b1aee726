"""The section ``autoscaling`` of ``model-config.yaml``, which is this server's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelserver.errors import ArchiveInvalid
from modelserver.version_settings.setting import Setting, Unit
from modelserver.version_settings.table import VERSION_SETTINGS

LARGEST = 2**31 - 1
"""The largest number that is taken, as in calls."""
AUTOSCALING_KEYS: Mapping[str, str] = {
    "enabled": "autoscale",
    "targetQueueTime": "target_queue_time",
    "idleTimeout": "idle_timeout",
    "scaleDownDelay": "scale_down_delay",
    "keepTemplate": "keep_template",
    "loadTimeout": "load_timeout",
}
"""The names of settings by the keys of the section."""
_ROWS: Mapping[str, Setting] = {row.name: row for row in VERSION_SETTINGS}


def read_autoscaling(section: object) -> dict[str, Any]:
    """
    Return the settings that the section gives; it switches autoscaling on unless it says ``enabled: false``.

    Unlike the keys that are TorchServe's, one with a wrong value is no mere warning: who wrote it would find
    out too late that it has no effect.

    :raises ArchiveInvalid: a key is unknown, or its value is wrong; the text names the key.
    """
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ArchiveInvalid("model-config.yaml: autoscaling is not a mapping of keys to values.")
    values: dict[str, Any] = {"autoscale": True}
    for key, value in section.items():
        if key in ("minWorkers", "maxWorkers"):
            values["least" if key == "minWorkers" else "most"] = _count(f"autoscaling.{key}", value, 0)
        elif key in AUTOSCALING_KEYS:
            row = _ROWS[AUTOSCALING_KEYS[key]]
            values[row.name] = _value(f"autoscaling.{key}", value, row)
        else:
            raise ArchiveInvalid(f"model-config.yaml: there is no key autoscaling.{str(key)[:80]}.")
    least, most = values.get("least"), values.get("most")
    if least is not None and most is not None and most < least:
        raise ArchiveInvalid("model-config.yaml: autoscaling.maxWorkers is less than autoscaling.minWorkers.")
    return values


def _value(key: str, value: object, row: Setting) -> object:
    if row.unit is not Unit.FLAG:
        return row.from_number(_count(key, value, row.least))
    if not isinstance(value, bool):
        raise ArchiveInvalid(f"model-config.yaml: {key} must be true or false.")
    return value


def _count(key: str, value: object, least: int) -> int:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or not least <= value <= LARGEST:  # type: ignore[operator]  # it is an int
        raise ArchiveInvalid(f"model-config.yaml: {key} must be a whole number from {least} to {LARGEST}.")
    return value  # type: ignore[return-value]  # likewise
