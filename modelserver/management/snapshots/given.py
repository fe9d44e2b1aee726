"""The part of a snapshot that says what a registration gave, beside what TorchServe's snapshots keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelserver.archive.autoscaling_section import AUTOSCALING_KEYS
from modelserver.management.snapshots.values import SnapshotInvalid, flag_of, number_of, object_of, text_of
from modelserver.spec import VersionDescription
from modelserver.version_settings.placing import read_resources, resources_text
from modelserver.version_settings.setting import MILLISECOND, Setting, SettingValues, Unit
from modelserver.version_settings.table import VERSION_SETTINGS

SECTION = "parameters"
"""The key of a version in a snapshot; its value has the parameters of a registration."""
_HELD_APART = ("batch_size", "max_batch_delay", "response_timeout", "startup_timeout")
_ROWS: Mapping[str, Setting] = {
    row.name: row for row in VERSION_SETTINGS if row.parameter is not None and row.name not in _HELD_APART
}


def take_given(version: VersionDescription) -> SettingValues:
    """Return what the registration of a version gave; how its workers are counted is another part's."""
    elsewhere = () if version.scaling is None else AUTOSCALING_KEYS.values()
    return {
        name: value for name, value in version.spec.given.items() if name in _ROWS and name not in elsewhere
    }


def parse_given(values: Mapping[str, object], where: str) -> SettingValues:
    """
    Read the part of a version; parameters that are not known here are left out.

    :raises SnapshotInvalid: a value is not allowed.
    """
    section = object_of(values.get(SECTION, {}), f"{SECTION} of {where}")
    return {name: _read(row, section, where) for name, row in _ROWS.items() if name in section}


def _read(row: Setting, section: Mapping[str, object], where: str) -> object:
    if row.unit is Unit.FLAG:
        return flag_of(section, row.name, where)
    if row.unit is Unit.RESOURCES:
        try:
            return read_resources(text_of(section, row.name, None, where))
        except ValueError as why:
            raise SnapshotInvalid(f"{row.name} of {where}: {why}") from why
    if row.unit is Unit.WORD:
        word = text_of(section, row.name, None, where)
        if word not in row.choices:
            raise SnapshotInvalid(f"{row.name} of {where} is none of {', '.join(row.choices)}")
        return word
    return row.from_number(max(row.least, number_of(section, row.name, row.least, where)))


def render_given(values: SettingValues) -> Mapping[str, object]:
    """Return the part of a version as ``parse_given`` reads it."""
    return {name: _written(_ROWS[name], value) for name, value in values.items()}


def _written(row: Setting, value: Any) -> object:  # the row says what it is
    if row.unit is Unit.RESOURCES:
        return resources_text(value)
    if row.unit is Unit.MILLISECONDS:
        return round(value / MILLISECOND)
    return round(value) if row.unit is Unit.SECONDS else value
