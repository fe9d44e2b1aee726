"""Agents of nodes that are plain programs of this machine, around the test's reactor."""

from __future__ import annotations

from pathlib import Path

from twisted.internet import reactor

from bench import remote_nodes
from modelserver.backends.event_loop import ReactorLoop
from modelserver.backends.ray.backend import RemoteBackend
from modelserver.backends.ray.starter import NodeStarter
from modelserver.interfaces import EventLoop

ProgramStarter = remote_nodes.ProgramStarter


def make_remote_backend(
    starter: NodeStarter,
    folder: Path,
    silence: float = 5.0,
    lost: float = 30.0,
    slots: memoryview | None = None,
) -> RemoteBackend:
    """Make a backend around the test's reactor; ``folder`` is the server's own."""
    loop: EventLoop = getattr(reactor, "_asyncioEventloop", None) or ReactorLoop(reactor, reactor)
    return remote_nodes.make_remote_backend(starter, folder, loop, reactor, silence, lost, slots)
