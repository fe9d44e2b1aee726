"""Which gRPC listeners there are to be, and whether what they need is installed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec

from modelserver.config.address import Address
from modelserver.config.grpc_keys import GRPC_SIDES, OFF
from modelserver.config.settings import Settings
from modelserver.language.attributes import frozen
from modelserver.rpc.engines.choice import EngineMissing, has_engine, load_engine

INSTALL = "pip install 'modelserver[grpc]'"


@frozen
class GrpcUnusable(Exception):
    """The configuration asks for gRPC, and it cannot be served."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class GrpcPlan:
    """
    What is to be served.

    :param addresses: where, by ``inference`` and ``management``.
    :param note: what the log is to say at the start, or None.
    """

    addresses: Mapping[str, Address]
    note: str | None = None


def plan_grpc(settings: Settings, missing: Callable[[], str | None]) -> GrpcPlan:
    """
    Decide which listeners there are.

    By default there are some where they can be; a configuration that has asked for one needs it.

    :param missing: says what is missing for gRPC, or returns None; asked if there is to be a listener at all.
    :raises GrpcUnusable: a listener that was asked for needs what is missing.
    """
    addresses = {side: at for side in GRPC_SIDES if (at := settings.grpc_address(side)) is not None}
    why = missing() if addresses else None
    if why is None:
        return GrpcPlan(addresses)
    asked = [key for side in addresses for key in _keys_of(settings, side)]
    if asked:
        raise GrpcUnusable(f"{asked[0]}={settings.properties[asked[0]]}: {why}")
    return GrpcPlan({}, f"gRPC is not served: {why}")


def _keys_of(settings: Settings, side: str) -> list[str]:
    """Return the keys that are set and ask for a listener."""
    properties = settings.properties
    own = [key for key, value in properties.items() if key.startswith(f"grpc_{side}_") and value]
    if settings.enable_grpc_ssl and properties.get("enable_grpc_ssl"):
        own.append("enable_grpc_ssl")
    return [key for key in own if properties[key] != f"{OFF}"]


def missing_for_grpc() -> str | None:
    """Return what gRPC needs and cannot be used, as a sentence, or None. Blocks: it imports the engine."""
    try:
        load_engine()
    except EngineMissing as error:
        return str(error)
    return absent_for_grpc()


def absent_for_grpc() -> str | None:
    """Return what gRPC needs and is not installed, as a sentence, or None; nothing is imported."""
    if not has_engine():
        return str(EngineMissing())
    if find_spec("google") is None or find_spec("google.protobuf") is None:
        return f"it needs protobuf, which is not installed: {INSTALL}"
    return None
