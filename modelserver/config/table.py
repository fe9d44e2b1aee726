"""The whole table of keys, and a lookup by name."""

from __future__ import annotations

from collections.abc import Mapping

from modelserver.config.extension_keys import EXTENSION_KEYS
from modelserver.config.grpc_keys import GRPC_KEYS
from modelserver.config.keys import ConfigurationKey
from modelserver.config.peer_keys import PEER_KEYS
from modelserver.config.unused_keys import UNUSED_KEYS
from modelserver.config.version_keys import VERSION_KEYS

KEYS: tuple[ConfigurationKey, ...] = (
    *PEER_KEYS,
    *GRPC_KEYS,
    *UNUSED_KEYS,
    *EXTENSION_KEYS,
    *VERSION_KEYS.values(),
)
"""All keys."""

KEY: Mapping[str, ConfigurationKey] = {key.name: key for key in KEYS}
"""All keys by their names."""
