"""Network namespaces of this machine as nodes, each joined to this process's own namespace by a cable."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import SkipTest

from attrs import define, field

_NEW_NETWORK = 0x40000000
SERVER = "10.91.0.1"
"""The server's address, as every node sees it."""


def ip(*words: str) -> str:
    """
    Run ``ip``; return what it says.

    :raises subprocess.CalledProcessError: it cannot be done.
    """
    done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=20)
    return done.stdout


class OwnNetwork:
    """Puts this process into a network of its own, with nothing in it but a loopback, and back again."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise SkipTest("only root can make networks")
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if self._libc.unshare(_NEW_NETWORK):
            os.close(self._before)
            raise SkipTest(f"no network can be made here: {os.strerror(ctypes.get_errno())}")
        ip("link", "set", "lo", "up")
        ip("address", "add", f"{SERVER}/32", "dev", "lo")

    def leave(self) -> None:
        """Go back; the network is gone with its last process."""
        self._libc.setns(self._before, _NEW_NETWORK)
        os.close(self._before)


@define(eq=False)
class NetworkNode:
    """
    One namespace.

    :param number: names it, and its addresses.
    :param processors: workers that it has room for.
    :param environment: what is added to its agents' variables.
    :param hidden: a folder that its agents do not see: they have a small one of their own there.
    :param size: bytes of that.
    :param loss: of a hundred segments that come to its agents, how many are lost.
    """

    number: int
    processors: int = 1
    environment: Mapping[str, str] = field(factory=dict)
    hidden: Path | None = None
    size: int = 1 << 26
    loss: int = 0
    is_alive: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        here, there = f"10.91.{self.number}.1", f"10.91.{self.number}.2"
        ip("netns", "add", self.name)
        ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("address", "add", f"{here}/24", "dev", self.cable)
        ip("link", "set", self.cable, "up")
        for words in (("link", "set", "lo", "up"), ("address", "add", f"{there}/24", "dev", "eth0")):
            ip("-n", self.name, *words)
        ip("-n", self.name, "link", "set", "eth0", "up")
        ip("-n", self.name, "route", "add", "default", "via", here)

    @property
    def name(self) -> str:
        """The namespace's name."""
        return f"modelserver-{os.getpid()}-{self.number}"

    @property
    def cable(self) -> str:
        """This side's end of its cable."""
        return f"node{self.number}"

    @property
    def prefix(self) -> Sequence[str]:
        """The words before a command that is to run there."""
        words = ["ip", "netns", "exec", self.name]
        if self.hidden is None:
            return words
        # "ip netns exec" has made a namespace for mounts, too.
        mount = f'mount -t tmpfs -o size={self.size} tmpfs \'{self.hidden}\' && exec "$0" "$@"'
        return [*words, "sh", "-c", mount]

    def pull_cable(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        ip("link", "set", self.cable, "down")

    def plug_in(self) -> None:
        """Everything comes through again."""
        ip("link", "set", self.cable, "up")

    def pids(self) -> list[int]:
        """Return what runs there."""
        return [int(pid) for pid in ip("netns", "pids", self.name).split()]

    def kill(self) -> None:
        """End everything that runs there, and let nothing run there any more."""
        self.is_alive = False
        while pids := self.pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass

    def remove(self) -> None:
        """Take it down with what runs there."""
        self.kill()
        ip("link", "delete", self.cable)
        ip("netns", "delete", self.name)


@define(eq=False)
class NetworkCluster:
    """
    Nodes, and the file by which the driver knows them.

    :param file: is written by ``write``.
    """

    file: Path
    nodes: list[NetworkNode] = field(factory=list)

    def write(self) -> None:
        """Tell the driver which nodes there are."""
        rows = [
            {
                "name": node.name,
                "prefix": list(node.prefix),
                "address": f"10.91.{node.number}.2",
                "processors": node.processors,
                "environment": dict(node.environment),
                "loss": node.loss,
            }
            for node in self.nodes
            if node.is_alive
        ]
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"host": SERVER, "python": sys.executable, "nodes": rows}))
        fresh.rename(self.file)

    def kill(self, node: NetworkNode) -> None:
        """End a node as a power failure of its processes would; nothing is placed there any more."""
        node.is_alive = False
        self.write()
        node.kill()
