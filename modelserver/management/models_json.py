"""The ``models`` JSON of the configuration: values for versions of models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.version_settings.setting import Setting, SettingValues
from modelserver.version_settings.table import VERSION_SETTINGS


@frozen
class VersionPreset:
    """
    One version in the ``models`` JSON.

    :param settings: the values that are there and above 0.
    :param runtime: ``runtimeType``, or None.
    """

    settings: SettingValues = field(factory=dict)
    runtime: str | None = None


def read_models(
    text: str, table: Iterable[Setting] = VERSION_SETTINGS
) -> Mapping[str, Mapping[str, VersionPreset]]:
    """
    Read the ``models`` JSON: for each model, for each version, an entry.

    :param table: the settings to look for.
    :raises ValueError: the text is not JSON, or not of this shape.
    """
    rows = [row for row in table if row.models_json]
    models = json.loads(text)
    if not isinstance(models, dict):
        raise ValueError("it is not a JSON object")
    return {name: _read_versions(name, versions, rows) for name, versions in models.items()}


def _read_versions(name: str, versions: object, rows: Iterable[Setting]) -> Mapping[str, VersionPreset]:
    if not isinstance(versions, dict):
        raise ValueError(f"{name!r} does not hold versions")
    return {version: _read_entry(name, version, entry, rows) for version, entry in versions.items()}


def _read_entry(name: str, version: str, entry: object, rows: Iterable[Setting]) -> VersionPreset:
    if not isinstance(entry, dict):
        raise ValueError(f"version {version!r} of {name!r} is not an object")
    numbers = [
        (row, _json_number(name, version, row.models_json, entry[row.models_json]))
        for row in rows
        if row.models_json in entry
    ]
    settings = {row.name: row.from_number(number) for row, number in numbers if number > 0}
    runtime = entry.get("runtimeType")
    return VersionPreset(settings, runtime if isinstance(runtime, str) and runtime else None)


def _json_number(name: str, version: str, key: str, value: object) -> int:
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} of version {version!r} of {name!r}: a whole number is needed")
    return value
