"""The keys of ``model-config.yaml`` that are for the server: their values, and reading them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import field

from modelserver.archive.autoscaling_section import read_autoscaling
from modelserver.errors import ArchiveInvalid
from modelserver.language.attributes import frozen
from modelserver.version_settings.placing import Resources, read_resources
from modelserver.version_settings.setting import AUTO, AUTO_WORD, Setting, SettingValues, Unit
from modelserver.version_settings.table import VERSION_SETTINGS
from modelserver.version_settings.values import Torchrun

LARGEST_NUMBER = 2**63 - 1
_LAUNCHED_TYPES = ("pp", "tp", "pptp")
_SIZE = re.compile(r"([0-9]{1,15})([KMG])", re.IGNORECASE)
_FACTORS = {"K": 1024, "M": 1024**2, "G": 1024**3}

Problems = tuple[str, ...]
Reader = Callable[[object], object]


@frozen
class ModelConfig:
    """
    What ``model-config.yaml`` says for the server.

    :param document: the whole file, for the handler.
    :param settings: the values that are valid; see ``modelserver/version_settings/table.py``.
    :param torchrun: of the parallel types whose workers torchrun starts, else None.
    """

    document: Mapping[str, object] = field(factory=dict)
    settings: SettingValues = field(factory=dict)
    torchrun: Torchrun | None = None


class _Ignored(ValueError):
    """A value that is left out; the text says why."""


class _TooLong(ValueError):
    """A number that nothing here can count with; the text says how long it is."""


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Ignored("a whole number is needed")
    if abs(value) > LARGEST_NUMBER:
        raise _TooLong(f"a number of {len(str(abs(value)))} digits")
    return value


def _within(least: int, most: int | None = None) -> Callable[[object], int]:
    """Return a reader of whole numbers from ``least`` (0 or 1) to ``most``."""

    def read(value: object) -> int:
        number = _whole(value)
        if most is not None and not least <= number <= most:
            raise _Ignored(f"{least} or {most} is needed")
        if number < least:
            raise _Ignored("it is negative" if least == 0 else "it is not above 0")
        return number

    return read


_not_negative, _positive = _within(0), _within(1)


def _raised_to(least: int) -> Callable[[object], int]:
    return lambda value: max(least, _whole(value))


def _seconds(value: object) -> float:
    return float(_positive(value))


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Ignored("true or false is needed")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Ignored("a text is needed")
    return value


def _one_of(*words: str) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            raise _Ignored(f"{' or '.join(words)} is needed")
        return value.lower()

    return read


def _device_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _Ignored("a list of device numbers is needed")
    return tuple(_not_negative(number) for number in value)


def _bytes(value: object) -> int:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None:
            raise _Ignored("a number of bytes is needed, or a text like 512M")
        return int(match[1]) * _FACTORS[match[2].upper()]
    return _not_negative(value)


def _resources(value: object) -> Resources:
    try:
        return read_resources(value)
    except ValueError as why:
        raise _Ignored(str(why)) from why


def _reader(setting: Setting) -> Reader:
    """Return the reader of a setting's value in the file."""
    match setting.unit:
        case Unit.FLAG:
            return _boolean
        case Unit.WORD:
            return _one_of(*setting.choices)
        case Unit.DEVICES:
            return _device_ids
        case Unit.BYTES:
            return _bytes
        case Unit.RESOURCES:
            return _resources
    number = _raised_to(setting.least) if setting.is_raised else _within(setting.least, setting.most)
    if setting.can_be_auto:
        return lambda value: AUTO if value == AUTO_WORD else setting.from_number(number(value))
    return lambda value: setting.from_number(number(value))


# key of the map ``torchrun`` -> (field of Torchrun, how it is read)
_TORCHRUN_KEYS: Mapping[str, tuple[str, Reader]] = {
    "nproc-per-node": ("ranks", _positive),
    "nnodes": ("nodes", _positive),
    "node-rank": ("node_rank", _not_negative),
    "rdzv-backend": ("rdzv_backend", _text),
    "rdzv-endpoint": ("rdzv_endpoint", _text),
    "rdzv-conf": ("rdzv_conf", _text),
    "monitor-interval": ("monitor_interval", _seconds),
    "master-addr": ("master_addr", _text),
    "master-port": ("master_port", _positive),
    "OMP_NUMBER_THREADS": ("threads", _positive),
}


def read_model_config(
    document: object, number_of_gpu: int, table: Iterable[Setting] = VERSION_SETTINGS
) -> tuple[ModelConfig, Problems]:
    """
    Read a parsed ``model-config.yaml``.

    A value of a wrong type or outside its range is left out and named in the problems, which are for the log.
    Keys that are not for the server are the handler's.

    :param document: what the YAML loader returned; anything but a mapping counts as absent.
    :param number_of_gpu: the devices there are.
    :param table: the settings to look for.
    :raises ArchiveInvalid: a number is longer than 64 bits.
    """
    if not isinstance(document, Mapping):
        return ModelConfig(), ("model-config.yaml is not a mapping of keys to values; it is ignored.",)
    keys = {row.model_config: (row.name, _reader(row)) for row in table if row.model_config}
    values, problems = _read(document, keys, "")
    values |= read_autoscaling(document.get("autoscaling"))
    for settle in (_settle_workers, _settle_sequences):
        problems.extend(settle(values))
    problems.extend(_settle_devices(values, number_of_gpu))
    torchrun, more = _settle_parallel(values, document.get("torchrun"))
    return ModelConfig(document, values, torchrun), (*problems, *more)


def _read(
    document: Mapping[str, object], keys: Mapping[str, tuple[str, Reader]], prefix: str
) -> tuple[dict[str, object], list[str]]:
    """Return the values that a mapping gives, by their names, and what is wrong with the others."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for key, (name, read) in keys.items():
        if document.get(key) is None:
            continue
        try:
            values[name] = read(document[key])
        except _Ignored as why:
            problems.append(f"model-config.yaml: {prefix}{key}={document[key]!r} is ignored: {why}.")
        except _TooLong as why:
            raise ArchiveInvalid(f"model-config.yaml: {prefix}{key} is {why}.") from why
    return values, problems


def _settle_workers(values: dict[str, Any]) -> Problems:
    """Drop ``minWorkers`` and ``maxWorkers`` unless both are there and in order."""
    least, most = values.get("min_workers"), values.get("max_workers")
    if (least is None and most is None) or (least is not None and most is not None and most >= least):
        return ()
    for name in ("min_workers", "max_workers"):
        values.pop(name, None)
    return (
        f"model-config.yaml: minWorkers={least} and maxWorkers={most} are ignored: "
        "both are needed, and maxWorkers may not be smaller.",
    )


def _settle_devices(values: dict[str, Any], number_of_gpu: int) -> Problems:
    """Drop device numbers that do not exist, and take the CPU where there is no GPU."""
    problems = []
    if any(number >= number_of_gpu for number in values.get("device_ids", ())):
        problems.append(
            f"model-config.yaml: deviceIds={list(values.pop('device_ids'))} is ignored: "
            f"there are {number_of_gpu} devices, counted from 0."
        )
    if values.get("device_type") == "gpu" and number_of_gpu == 0:
        problems.append("model-config.yaml: deviceType=gpu, but there is no GPU: the CPU is used.")
        values["device_type"] = "cpu"
    return tuple(problems)


def _settle_parallel(values: dict[str, Any], section: object) -> tuple[Torchrun | None, Problems]:
    """
    Read the section ``torchrun`` and set the devices of each worker.

    torchrun's ``nproc-per-node`` is the level of the types that it starts; ``custom`` has ``parallelLevel``.
    """
    kind, level = values.get("parallel_type"), values.get("parallel_level", 0)
    if kind not in _LAUNCHED_TYPES:
        if not kind:
            values.pop("parallel_level", None)
        return None, ()
    if not isinstance(section, Mapping):
        section = {"nproc-per-node": level or None}
    elif section.get("nproc-per-node") is None:
        section = {**section, "nproc-per-node": 1}
    options, problems = _read(section, _TORCHRUN_KEYS, "torchrun.")
    options.setdefault("ranks", level)
    if not options["ranks"]:
        return None, tuple(problems)
    torchrun = Torchrun(**options)  # type: ignore[arg-type]  # the table has the readers
    values["parallel_level"] = torchrun.ranks
    return torchrun, tuple(problems)


def _settle_sequences(values: dict[str, Any]) -> Problems:
    """Drop ``sequenceBatching`` without a time after which a sequence ends."""
    if values.get("stateful") and not values.get("sequence_max_idle"):
        del values["stateful"]
        return ("model-config.yaml: sequenceBatching is ignored: sequenceMaxIdleMSec must be above 0.",)
    return ()
