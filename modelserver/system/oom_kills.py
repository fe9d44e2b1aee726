"""Detects that the kernel killed a process for want of memory, by the kernel's counters of such kills."""

from __future__ import annotations

from pathlib import Path

from attrs import field

from modelserver.language.attributes import define, frozen
from modelserver.system.cgroups import groups_mount, memberships


@frozen
class KillCounter:
    """
    A file of the kernel with a line ``oom_kill NUMBER``.

    :param path: ``memory.events`` of cgroup v2, ``memory.oom_control`` of v1, or ``/proc/vmstat``.
    """

    path: Path

    def read(self) -> int | None:
        """Return how many processes were killed so far, or None where the file cannot be read."""
        try:
            lines = self.path.read_text("ascii").splitlines()
        except (OSError, ValueError):
            return None
        for line in lines:
            name, _, number = line.partition(" ")
            if name == "oom_kill" and number.isdigit():
                return int(number)
        return None


def find_counter(root: Path = Path("/")) -> KillCounter | None:
    """
    Return the counter of this process's control group, else that of the machine, else None.

    :param root: where the kernel's file systems are mounted.
    """
    groups = groups_mount(root)
    choices = []
    for group in memberships(root):
        if not group.controllers:
            choices.append(groups / group.path / "memory.events")
        elif "memory" in group.controllers:
            choices.append(groups / "memory" / group.path / "memory.oom_control")
    # In a container the path is often the one outside of it, and its group is mounted at the top.
    choices += [groups / "memory.events", groups / "memory" / "memory.oom_control"]
    choices.append(root / "proc" / "vmstat")
    for choice in choices:
        counter = KillCounter(choice)
        if counter.read() is not None:
            return counter
    return None


@define(eq=False)
class OomDetector:
    """Distinguishes an out-of-memory kill from any other SIGKILL."""

    counter: KillCounter | None
    _seen: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.take_new_kills()

    def take_new_kills(self) -> bool:
        """
        Note the kernel's kills for want of memory; return whether there were some since the last call.

        Each kill is reported once, so this is for whoever has just lost a process to a SIGKILL.
        """
        now = None if self.counter is None else self.counter.read()
        if now is None:
            return False
        before, self._seen = self._seen, now
        return now > before
