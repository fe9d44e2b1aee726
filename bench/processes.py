"""A process and all its descendants: their CPU seconds, their memory, and a bounded way to end them."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil
from attrs import frozen


@frozen
class Memory:
    """What a process tree holds, in bytes; ``pss`` counts a shared page once over all its holders."""

    rss: int
    pss: int
    processes: int


@frozen
class Tree:
    """
    The process with this id, and whatever it started.

    :param pid: the root.
    """

    pid: int

    def members(self) -> list[psutil.Process]:
        """The root and its descendants, as they are now; empty when the root is gone."""
        try:
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        """User and system seconds so far, over all living members."""
        return cpu_seconds(self.members())

    def memory(self) -> Memory:
        """Resident and proportional memory of all members."""
        return memory(self.members())

    def leaves(self, word: str) -> list[psutil.Process]:
        """Members without children whose command line has ``word`` in it: the worker processes."""
        return [member for member in self.members() if is_leaf(member, word)]


def is_leaf(process: psutil.Process, word: str) -> bool:
    """Whether a process has no children and ``word`` in its command line."""
    try:
        return not process.children() and any(word in part for part in process.cmdline())
    except psutil.NoSuchProcess:
        return False


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system seconds of these processes; what is gone counts as nothing."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def nanoseconds(pids: Iterable[int]) -> int:
    """
    Return the CPU nanoseconds of all threads of these processes, as the scheduler counts them.

    What ``cpu_seconds`` reads is counted in hundredths of a second. The time of threads that end is lost.
    """
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                total += int(task.read_bytes().split()[0])
    return total


def memory(processes: Iterable[psutil.Process]) -> Memory:
    """Memory of these processes together; a page that two of them share counts once in ``pss``."""
    rss = pss = count = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            info = process.memory_full_info()
            rss, pss, count = rss + info.rss, pss + info.pss, count + 1
    return Memory(rss, pss, count)


def end(child: subprocess.Popen[bytes], seconds: float = 15.0) -> None:
    """
    End a child and its descendants: TERM to the child, then KILL to each that is left.

    :param seconds: how long TERM may take.
    """
    members = Tree(child.pid).members()
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    # Launchers in front of a JVM die of TERM and leave it running: it is asked too.
    for member in members[1:2]:
        with contextlib.suppress(psutil.NoSuchProcess):
            if "java" in member.name():
                member.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(seconds)
    _, alive = psutil.wait_procs(members, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5.0)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(5.0)
