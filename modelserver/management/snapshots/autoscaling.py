"""The part of a snapshot that says how the server decides the number of a version's workers."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter

from modelserver.archive.autoscaling_section import AUTOSCALING_KEYS, read_autoscaling
from modelserver.errors import ArchiveInvalid
from modelserver.management.snapshots.values import SnapshotInvalid
from modelserver.spec import VersionDescription
from modelserver.version_settings.setting import MILLISECOND, Setting, SettingValues, Unit
from modelserver.version_settings.table import VERSION_SETTINGS

SECTION = "autoscaling"
"""The key of a version in a snapshot; its value has the keys of the section of ``model-config.yaml``."""
_KEYS: Mapping[str, str] = {name: key for key, name in AUTOSCALING_KEYS.items()}
_ROWS: Mapping[str, Setting] = {row.name: row for row in VERSION_SETTINGS if row.name in _KEYS}


def take_autoscaling(version: VersionDescription) -> SettingValues | None:
    """Return the settings of a version by their names; None if the server never decided for it."""
    if version.scaling is None:
        return None
    return {name: attrgetter(row.path)(version.spec) for name, row in _ROWS.items()}


def parse_autoscaling(values: Mapping[str, object], where: str) -> SettingValues | None:
    """
    Read the part of a version.

    :raises SnapshotInvalid: a value is not allowed.
    """
    if values.get(SECTION) is None:
        return None
    try:
        return read_autoscaling(values[SECTION])
    except ArchiveInvalid as error:
        raise SnapshotInvalid(f"{where}: {error}") from error


def render_autoscaling(values: SettingValues) -> Mapping[str, object]:
    """Return the part of a version as ``parse_autoscaling`` reads it."""
    return {_KEYS[name]: _written(_ROWS[name], value) for name, value in values.items()}


def _written(row: Setting, value: object) -> object:
    if not isinstance(value, float):
        return value
    return round(value / MILLISECOND) if row.unit is Unit.MILLISECONDS else round(value)
