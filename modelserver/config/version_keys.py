"""The configuration keys of a version's settings, made of their table."""

from __future__ import annotations

from collections.abc import Iterable

from modelserver.config.keys import ConfigurationKey
from modelserver.config.value_types import BOOLEAN, Kind, choice, duration, size, whole
from modelserver.version_settings.setting import MILLISECOND, Setting, SettingKey, Unit
from modelserver.version_settings.table import VERSION_SETTINGS


def version_keys(table: Iterable[Setting]) -> dict[str, ConfigurationKey]:
    """Return the keys that set defaults of settings, by the settings' names."""
    return {row.name: _key(row, row.key) for row in table if row.key is not None}


def _key(setting: Setting, key: SettingKey) -> ConfigurationKey:
    return ConfigurationKey(
        name=key.name,
        kind=_kind(setting, key),
        default=setting.default_text(),
        meaning=key.meaning,
        peers=key.peers,
        status="implemented" if key.peers else "ours",
    )


def _kind(setting: Setting, key: SettingKey) -> Kind:
    """
    Return how the key's text is read.

    :raises ValueError: no key has a setting of this unit.
    """
    match setting.unit:
        case Unit.COUNT:
            return whole(setting.least, setting.most)
        case Unit.SECONDS:
            return duration(positive=setting.least > 0)
        case Unit.MILLISECONDS:
            return duration(MILLISECOND, positive=setting.least > 0)
        case Unit.BYTES:
            return size(positive=setting.least > 0)
        case Unit.FLAG:
            return BOOLEAN
        case Unit.WORD:
            return choice(*key.words, *setting.choices)
    raise ValueError(f"{key.name} cannot be a key: it is {setting.unit.value}")


VERSION_KEYS = version_keys(VERSION_SETTINGS)
"""The keys of the table, by the settings' names."""
