"""The keys of a cluster that workers may run on (``placement``)."""

from __future__ import annotations

import re
from pathlib import Path

from modelserver.config.keys import ConfigurationKey
from modelserver.config.value_types import Kind, duration, size

_ADDRESS = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")
_REACHED = re.compile(r"(?:[A-Za-z0-9_.-]{1,253}|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_CLIENT = "ray://"


def _cluster(text: str, cwd: Path) -> str:
    if text.startswith(_CLIENT):
        raise ValueError(
            "ray:// is Ray's client protocol, of which the server would be a guest: give the address of the "
            "cluster's head itself (host:port, 6379 by default)"
        )
    if text not in ("auto", "local") and _ADDRESS.fullmatch(text) is None:
        raise ValueError
    return text


def _reached(text: str, cwd: Path) -> str:
    if _REACHED.fullmatch(text) is None:
        raise ValueError
    return text


_CLUSTER = Kind("address", "auto, local, or the address of a cluster's head as host:port", _cluster)
_REACHED_AT = Kind("address", "host or host:port", _reached)
_SECONDS = duration(positive=True)


def _key(name: str, kind: Kind, default: str | None, meaning: str, always: bool = False) -> ConfigurationKey:
    return ConfigurationKey(
        name=name, kind=kind, default=default, meaning=meaning, status="ours", setting=name, always=always
    )


CLUSTER_KEYS = (
    _key(
        "ray_address",
        _CLUSTER,
        None,
        "The Ray cluster that workers may run on (placement): the address of its head, auto for the one that "
        "this machine belongs to, local for one of this server's own; unset: none.",
    ),
    _key(
        "remote_address",
        _REACHED_AT,
        None,
        "Where workers on other machines reach this server, which listens there; unset: this machine's "
        "address on its way to the head, and any free port.",
    ),
    _key(
        "remote_silence",
        _SECONDS,
        "3",
        "Seconds without a sign of a worker's machine after which others get its requests.",
    ),
    _key(
        "remote_lost",
        _SECONDS,
        "15",
        "Seconds without a sign of a worker's machine, or there of this server, after which the worker ends.",
    ),
    _key(
        "remote_cache_size",
        size(positive=True),
        "20G",
        "Bytes of models that each other machine keeps for workers to come.",
    ),
)
"""Every key of the cluster."""
