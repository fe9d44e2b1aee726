"""What a process holds that its copy would share or lack: descriptors, threads, processes, memory."""

from __future__ import annotations

import os
import stat
import sys
import threading

from modelserver.child.process.cuda_driver import driver_hazard
from modelserver.language.attributes import frozen

_HARMLESS = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
"""Devices without a position or a state of their own."""
_MOST_NAMES = 3


@frozen
class Footprint:
    """
    What this process holds at one moment.

    :param descriptors: numbers, and what they lead to.
    :param shared: mappings of memory that stay one after a fork, by their addresses.
    """

    descriptors: frozenset[tuple[int, str]]
    shared: frozenset[str]

    @classmethod
    def taken(cls) -> Footprint:
        """Look at this process."""
        return cls(frozenset(_descriptors()), frozenset(_shared_mappings()))

    def hazards(self, of_libraries: bool) -> list[str]:
        """
        What has come since then that a fork would break, or would make one object of all workers.

        :param of_libraries: only libraries are loaded, so that nobody has agreed to share a file that is
            only written (a log, as a rule).
        """
        now = Footprint.taken()
        found = [*_threads(), *_descriptor_hazards(now.descriptors - self.descriptors, of_libraries)]
        if now.shared - self.shared:
            found.append("memory is shared with future processes")
        if _has_children():
            found.append("processes were started")
        torch = sys.modules.get("torch")
        if (hazard := driver_hazard()) is not None:
            found.append(hazard)
        elif torch is not None and torch.cuda.is_initialized():
            found.append("CUDA is in use")  # by another driver than NVIDIA's, as torch for AMD calls it, too
        return found


def _threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names:
        return [f"threads are alive ({', '.join(names[:5])})"]
    count = len(os.listdir("/proc/self/task")) - 1
    return [f"threads of a library are alive ({count})"] if count else []


def _descriptors() -> list[tuple[int, str]]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append((int(name), os.readlink(f"/proc/self/fd/{name}")))
        except OSError:
            pass  # that of this very list
    return found


def _descriptor_hazards(new: frozenset[tuple[int, str]], of_libraries: bool) -> list[str]:
    sockets, files, others = False, [], []
    for number, target in sorted(new):
        if target.startswith("socket:"):
            sockets = True
        elif target in _HARMLESS:
            continue
        elif not _is_regular(number):
            others.append(target)
        elif of_libraries or _is_readable(number):
            files.append(target)
    found = ["sockets are open"] if sockets else []
    if files:
        found.append(f"files are open ({_some(files)})")
    if others:
        found.append(f"descriptors are open ({_some(others)})")
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")


def _is_regular(number: int) -> bool:
    try:
        return stat.S_ISREG(os.fstat(number).st_mode)
    except OSError:
        return False


def _is_readable(number: int) -> bool:
    """Whether a file can be read through a descriptor: then processes that share it move its one position."""
    with open(f"/proc/self/fdinfo/{number}") as info:
        flags = next((line.split()[1] for line in info if line.startswith("flags:")), "0")
    return int(flags, 8) & os.O_ACCMODE != os.O_WRONLY


def _shared_mappings() -> list[str]:
    """The lines of writable mappings that a fork does not copy."""
    found = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            rights = line.split(None, 2)[1]
            if rights[1] == "w" and rights[3] == "s":
                found.append(line)
    return found


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True
