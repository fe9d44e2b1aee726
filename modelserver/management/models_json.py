"""The ``models`` JSON of the configuration: values for versions of models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from attrs import evolve, frozen

_MILLISECOND = 0.001


@frozen
class VersionPreset:
    """One version in the ``models`` JSON of the configuration; None for what is absent or not above 0."""

    min_workers: int | None = None
    max_workers: int | None = None
    batch_size: int | None = None
    max_batch_delay: float | None = None
    response_timeout: float | None = None
    startup_timeout: float | None = None
    runtime: str | None = None


def _seconds(value: int) -> float:
    return float(value)


def _milliseconds(value: int) -> float:
    return value * _MILLISECOND


# key of the JSON -> (field of VersionPreset, its unit)
_ENTRY_KEYS: Mapping[str, tuple[str, Callable[[int], object]]] = {
    "minWorkers": ("min_workers", int),
    "maxWorkers": ("max_workers", int),
    "batchSize": ("batch_size", int),
    "maxBatchDelay": ("max_batch_delay", _milliseconds),
    "responseTimeout": ("response_timeout", _seconds),
    "startupTimeout": ("startup_timeout", _seconds),
}


def read_models(text: str) -> Mapping[str, Mapping[str, VersionPreset]]:
    """
    Read the ``models`` JSON: for each model, for each version, an entry.

    :raises ValueError: it is not JSON, or not of this shape.
    """
    models = json.loads(text)
    if not isinstance(models, dict):
        raise ValueError("it is not a JSON object")
    return {name: _read_versions(name, versions) for name, versions in models.items()}


def _read_versions(name: str, versions: object) -> Mapping[str, VersionPreset]:
    if not isinstance(versions, dict):
        raise ValueError(f"{name!r} does not hold versions")
    return {version: _read_entry(name, version, entry) for version, entry in versions.items()}


def _read_entry(name: str, version: str, entry: object) -> VersionPreset:
    if not isinstance(entry, dict):
        raise ValueError(f"version {version!r} of {name!r} is not an object")
    values: dict[str, object] = {}
    for key, (field, read) in _ENTRY_KEYS.items():
        if key in entry:
            number = _json_number(name, version, key, entry[key])
            if number > 0:
                values[field] = read(number)
    runtime = entry.get("runtimeType")
    if isinstance(runtime, str) and runtime:
        values["runtime"] = runtime
    return evolve(VersionPreset(), **values)  # type: ignore[arg-type]  # _ENTRY_KEYS pairs names and readers


def _json_number(name: str, version: str, key: str, value: object) -> int:
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key} of version {version!r} of {name!r}: a whole number is needed")
    return value
