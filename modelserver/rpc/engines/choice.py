"""Which engine serves HTTP/2: the fastest that is installed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelserver.rpc.http2 import EngineMaker

ENGINES = (("ngh2", "Ngh2Engine"), ("h2", "H2Engine"))
"""The packages, each with its engine in the module of the same name beside this one; the better first."""


class EngineMissing(Exception):
    """Nothing that is installed serves HTTP/2."""

    def __str__(self) -> str:
        names = " nor ".join(name for name, _ in ENGINES)
        return f"gRPC needs HTTP/2, but neither {names} is installed: pip install 'modelserver[grpc]'"


def has_engine() -> bool:
    """Return whether an engine is installed; nothing is imported."""
    return any(find_spec(name) is not None for name, _ in ENGINES)


def load_engine() -> EngineMaker:
    """
    Return the maker of the best engine that is installed; its package is imported now.

    :raises EngineMissing: there is none.
    """
    for name, engine in ENGINES:
        try:
            module = import_module(f"modelserver.rpc.engines.{name}")
        except ImportError:
            continue
        maker: EngineMaker = getattr(module, engine)
        return maker
    raise EngineMissing
