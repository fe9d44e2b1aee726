"""Network namespaces of this machine as nodes, each joined to this process's own namespace by a cable."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from unittest import SkipTest

from attrs import define, field

_NEW_NETWORK = 0x40000000
SERVER = "10.91.0.1"
"""The server's address, as every node sees it."""
_RANDOM = 0xFFFFF000 + 56
"""Where a filter finds a random number (``SKF_AD_RANDOM``)."""
_DROP = 2
"""``TC_ACT_SHOT``"""


def _said(*words: str) -> str:
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=20)
    return done.stdout


def ip(*words: str) -> str:
    """
    Run ``ip``; return what it says.

    :raises subprocess.CalledProcessError: it cannot be done.
    """
    return _said("ip", *words)


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
        # Nodes reach each other, too.
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

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
    """

    number: int
    processors: int = 1
    environment: Mapping[str, str] = field(factory=dict)
    hidden: Path | None = None
    size: int = 1 << 26
    is_alive: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        here, there = f"10.91.{self.number}.1", self.address
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
    def address(self) -> str:
        """Its end of its cable, as the server sees it."""
        return f"10.91.{self.number}.2"

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

    def lose(self, share: int) -> None:
        """Have the kernel drop ``share`` of a hundred packets on the cable, each way, whatever they are."""
        _said("tc", "qdisc", "add", "dev", self.cable, "clsact")
        # Load a random number, modulo 100; from ``share`` on the packet passes (0), else it is dropped.
        program = f"5,32 0 0 {_RANDOM},148 0 0 100,53 1 0 {share},6 0 0 {_DROP},6 0 0 0"
        for way in ("ingress", "egress"):
            _said("tc", "filter", "add", "dev", self.cable, way, "bpf", "da", "bytecode", program)

    def lost_packets(self) -> tuple[int, int]:
        """Return how many packets ``lose`` has dropped, and of how many: what the kernel has counted."""
        told = json.loads(_said("tc", "-s", "-j", "qdisc", "show", "dev", self.cable))
        (row,) = (each for each in told if each["kind"] == "clsact")
        return row["drops"], row["packets"]

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
