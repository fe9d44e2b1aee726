"""TorchServe's keys for its gRPC listeners."""

from __future__ import annotations

from collections.abc import Iterator

from modelserver.config.keys import ConfigurationKey
from modelserver.config.value_types import INTERFACE, PEER_BOOLEAN, Kind, duration, whole
from modelserver.version_settings.setting import MILLISECOND

GRPC_SIDES = ("inference", "management")
"""The listeners, as their keys name them."""
OFF = -1
"""The port of a listener that is not wanted."""
_PORT = whole(OFF, 65535)
_AGE, _GRACE = duration(MILLISECOND, positive=True), duration(MILLISECOND)


def _key(
    name: str,
    kind: Kind,
    default: str | None,
    meaning: str,
    mms_default: str | None = None,
) -> ConfigurationKey:
    return ConfigurationKey(
        name=name,
        kind=kind,
        default=default,
        meaning=meaning,
        peers=("TS",),
        setting=name.removesuffix("_ms"),
        mms_default=mms_default,
    )


def _listener(side: str, port: int, serves: str) -> Iterator[ConfigurationKey]:
    """Yield the keys of one listener. MMS has no gRPC: in its dialect a port has to be asked for."""
    yield _key(f"grpc_{side}_address", INTERFACE, "127.0.0.1", f"Where {serves} over gRPC.")
    yield _key(
        f"grpc_{side}_port",
        _PORT,
        f"{port}",
        f"The port of it; 0: any free one, {OFF}: no such listener.",
        mms_default=f"{OFF}",
    )
    yield _key(
        f"grpc_{side}_max_connection_age_ms",
        _AGE,
        None,
        "How long a client may keep a connection there, in milliseconds; unset: as long as it likes.",
    )
    yield _key(
        f"grpc_{side}_max_connection_age_grace_ms",
        _GRACE,
        None,
        "How long calls may go on after that, in milliseconds; unset: until they end.",
    )


GRPC_KEYS = (
    *_listener("inference", 7070, "predictions are served"),
    *_listener("management", 7071, "models are managed"),
    _key(
        "enable_grpc_ssl",
        PEER_BOOLEAN,
        "false",
        "TLS for gRPC, with the key and certificate of https:// addresses.",
    ),
)
"""Every key of the gRPC listeners."""
