"""The whole table of keys, and a lookup by name."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.config.extension_keys import OWN_KEYS
from modelserver.config.keys import Key
from modelserver.config.peer_keys import PEER_KEYS
from modelserver.config.unused_keys import IDLE_KEYS
from modelserver.config.version_keys import VERSION_KEYS

KEYS: tuple[Key, ...] = (*PEER_KEYS, *IDLE_KEYS, *OWN_KEYS, *VERSION_KEYS.values())
"""All keys."""

KEY: Mapping[str, Key] = {key.name: key for key in KEYS}
"""All keys by their names."""
