"""The rows of the table of a version's settings that say where its workers run, and what each holds."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from modelserver.version_settings.setting import Setting, SettingKey, SettingParameter, Unit

Resources = tuple[tuple[str, float], ...]
"""Names of resources and how much of each, in the order of the names."""

RESOURCES_RULE = "a list like CPU=1,GPU=0.25: names of resources, and how much of each"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,99}")
_MOST = 10**6

PLACING = (
    Setting(
        name="placement",
        path="placement.where",
        unit=Unit.WORD,
        default="local",
        choices=("local", "ray", "auto"),
        key=SettingKey(
            "placement",
            "Where workers run: on this machine, on a Ray cluster, or there once this machine has no room.",
        ),
        model_config="placement",
        parameter=SettingParameter(
            "placement",
            "Where workers run: on this machine (local), on a Ray cluster (ray), or there once this machine "
            "has no room (auto).",
            is_extension=True,
        ),
    ),
    Setting(
        name="resources",
        path="placement.resources",
        unit=Unit.RESOURCES,
        default=(),
        model_config="resources",
        parameter=SettingParameter(
            "resources",
            "What a Ray cluster holds for each worker, such as CPU=1,GPU=0.25; CPU=1 by default.",
            is_extension=True,
        ),
    ),
    Setting(
        name="placement_strategy",
        path="placement.strategy",
        unit=Unit.WORD,
        default="spread",
        choices=("spread", "pack"),
        key=SettingKey(
            "placement_strategy",
            "Whether a version's workers are spread over the nodes of a Ray cluster, or packed on few.",
        ),
        model_config="placementStrategy",
        parameter=SettingParameter(
            "placement_strategy",
            "Whether workers are spread over the nodes of a Ray cluster, or packed on few.",
            is_extension=True,
        ),
    ),
)


def read_resources(value: object) -> Resources:
    """
    Read resources, written as text (``CPU=1,GPU=0.25``) or as a mapping of names to numbers.

    :raises ValueError: this is neither; the text says what is wrong.
    """
    if isinstance(value, str):
        value = dict(_pair(part) for part in value.split(",") if part.strip())
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"{RESOURCES_RULE} are needed")
    return tuple(sorted((_name(name), _amount(amount)) for name, amount in value.items()))


def _pair(part: str) -> tuple[str, float]:
    name, equals, amount = part.strip().partition("=")
    try:
        return name.strip(), float(amount if equals else "")
    except ValueError:
        raise ValueError(f"{RESOURCES_RULE} are needed") from None


def _name(name: object) -> str:
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no name of a resource")
    return name


def _amount(amount: object) -> float:
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        raise ValueError("an amount is a number")
    if not math.isfinite(amount) or not 0 <= amount <= _MOST:
        raise ValueError(f"an amount is from 0 to {_MOST}")
    return float(amount)


def resources_text(resources: Resources) -> str:
    """Return resources as they are written in text."""
    return ",".join(f"{name}={amount:g}" for name, amount in resources)
