"""What one setting of a version is: its name in every place, its unit, bounds and default."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from modelserver.dialect_rules import DIALECTS
from modelserver.language.attributes import frozen

SettingValues = Mapping[str, object]
"""Values by the names of their settings; a setting that is absent was not given by this source."""

MILLISECOND = 0.001
"""Seconds."""


AUTO_WORD, AUTO = "auto", -1.0
"""What is written where the server is to choose a duration, and what stands for it inside."""


class Unit(Enum):
    """
    What is written where a setting is given.

    Durations are whole numbers there and ``float`` seconds inside; a size may have K, M or G behind it in a
    text, and is bytes inside.
    """

    COUNT = "count"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    BYTES = "bytes"
    FLAG = "true or false"
    WORD = "word"
    DEVICES = "device numbers"
    RESOURCES = "amounts by names"


@frozen
class SettingKey:
    """
    The key of ``config.properties`` that sets a setting's default for all versions.

    :param meaning: one sentence for tables.
    :param peers: who knows the key: ``TS``, ``MMS``.
    :param words: words that the key takes in addition to the setting's own.
    """

    name: str
    meaning: str
    peers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@frozen
class SettingParameter:
    """
    The parameter of a registration that gives a setting.

    :param meaning: one sentence for the OpenAPI description.
    :param can_be_unset: -1 says the same as no parameter, and 0 is allowed.
    :param is_extension: neither TorchServe nor Multi Model Server knows the parameter.
    :param dialects: the dialects that know it.
    """

    name: str
    meaning: str
    can_be_unset: bool = False
    is_extension: bool = False
    dialects: tuple[str, ...] = tuple(DIALECTS)


@frozen(kw_only=True)
class Setting:
    """
    One setting of a version, with its name in every place where it can be given or is shown.

    :param name: the name in ``SettingValues``.
    :param path: the attribute of ``VersionSpec`` that it becomes, with a dot for one of its parts.
    :param default: what holds where no source gives a value, in the unit of the inside.
    :param least: the smallest whole number, in the written unit.
    :param most: the largest one, or None.
    :param is_raised: ``model-config.yaml`` may give less than ``least``, which then counts as ``least``.
    :param can_be_auto: the server can choose a duration; its parameter and the file's key take ``auto``, too.
    :param choices: the words of a setting that is one.
    :param key: of ``config.properties``, or None.
    :param model_config: the key of ``model-config.yaml``, or empty.
    :param parameter: of a registration, or None.
    :param models_json: the key of an entry in the ``models`` JSON, or empty.
    :param described: the key in the answer of a describe, or empty.
    """

    name: str
    path: str
    unit: Unit
    default: Any  # the type is that of the attribute at path; a test compares the two
    least: int = 0
    most: int | None = None
    is_raised: bool = False
    can_be_auto: bool = False
    choices: tuple[str, ...] = ()
    key: SettingKey | None = None
    model_config: str = ""
    parameter: SettingParameter | None = None
    models_json: str = ""
    described: str = ""

    def default_text(self) -> str:
        """Return the default as it would be written."""
        if self.unit is Unit.FLAG:
            return str(self.default).lower()
        if self.unit is Unit.RESOURCES:
            return ",".join(f"{name}={amount:g}" for name, amount in self.default)
        if self.unit is Unit.DEVICES:
            return ", ".join(map(str, self.default))
        if self.unit is Unit.MILLISECONDS:
            return f"{self.default / MILLISECOND:g}"
        return f"{self.default:g}" if self.unit is Unit.SECONDS else str(self.default)

    def from_number(self, number: int) -> int | float:
        """Convert a whole number in the written unit to the inside's: durations become seconds."""
        if self.unit is Unit.SECONDS:
            return float(number)
        return number * MILLISECOND if self.unit is Unit.MILLISECONDS else number


def resolve_settings(sources: Iterable[SettingValues], settings: Iterable[Setting]) -> SettingValues:
    """
    Return a value for every setting: that of the first source which gives one, else the default.

    :param sources: the most important one first.
    :param settings: the rows of the table.
    """
    given = ChainMap[str, object](*map(dict, sources))
    return {setting.name: given.get(setting.name, setting.default) for setting in settings}
