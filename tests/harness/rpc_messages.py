"""The messages of the gRPC services, for tests: made once, by their short names."""

from __future__ import annotations

from functools import cache
from typing import Any

from modelserver.rpc.messages import Messages

PACKAGES = {
    "inference": "org.pytorch.serve.grpc.inference",
    "management": "org.pytorch.serve.grpc.management",
    "oip": "inference",
    "health": "grpc.health.v1",
    "reflection": "grpc.reflection.v1",
    "rpc": "google.rpc",
}


@cache
def messages() -> Messages:
    """All messages."""
    return Messages.load()


@cache
def type_of(name: str) -> Any:
    """
    Return the class of a message.

    :param name: a package as ``PACKAGES`` calls it, a dot, the message: ``oip.ModelInferRequest``.
    """
    package, _, rest = name.partition(".")
    return messages().type_of(f"{PACKAGES[package]}.{rest}")
