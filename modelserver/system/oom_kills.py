"""Whether the kernel killed a process for want of memory: what its counters say, where they can be read."""

from __future__ import annotations

from pathlib import Path

from attrs import define, field, frozen

from modelserver.system.cgroups import groups_mount, memberships


@frozen
class KillCounter:
    """
    A file of the kernel with a line ``oom_kill NUMBER``.

    :param path: of cgroup v2 (``memory.events``) or v1 (``memory.oom_control``), or ``/proc/vmstat``.
    """

    path: Path

    def read(self) -> int | None:
        """How many processes were killed so far, None where that cannot be read."""
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
    The counter that is nearest to this process: its control group's, else the machine's.

    :param root: where the kernel's file systems are mounted; another one in tests.
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
    """Tells an out-of-memory kill from any other KILL."""

    counter: KillCounter | None
    _seen: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.was_out_of_memory()

    def was_out_of_memory(self) -> bool:
        """Whether the kernel has killed for want of memory since the last question."""
        now = None if self.counter is None else self.counter.read()
        if now is None:
            return False
        before, self._seen = self._seen, now
        return now > before
