"""The memory of process trees. Everything here reads files of the kernel, and belongs into a thread."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from modelserver.language.attributes import frozen
from modelserver.spec import ProcessMemory

_KILOBYTE = 1024
_ROLLUP = "smaps_rollup"


def tree_memory(pid: int) -> int:
    """Return the resident bytes of a process and its descendants, 0 if it is gone. Blocks."""
    return tree_memories([pid])[pid]


def tree_memories(pids: Iterable[int]) -> dict[int, int]:
    """Return the resident bytes of process trees, by their root's process id. Blocks."""
    processes = _Processes.now()
    return {pid: processes.resident_of(pid) for pid in pids}


def tree_shares(pids: Iterable[int], root: Path = Path("/proc")) -> dict[int, int]:
    """
    Return the proportional bytes of process trees (PSS), by their root's process id. Blocks.

    Pages that several processes have count in parts, and a tree that another one holds counts for itself
    alone, so that the numbers of all may be added. Where the kernel does not tell, these are the resident
    bytes; 0 for a tree that is gone.

    :param root: where the kernel's files of processes are.
    :raises OSError: nothing can be read of processes.
    """
    import psutil  # in the thread, not at the start

    try:
        processes = _Processes.now()
    except psutil.Error as error:
        raise OSError(str(error)) from error
    roots = frozenset(pids)
    return {pid: sum(_share(processes, each, root) for each in processes.tree(pid, roots)) for pid in roots}


def _share(processes: _Processes, pid: int, root: Path) -> int:
    try:
        lines = (root / str(pid) / _ROLLUP).read_text().splitlines()
    except OSError:
        return processes.resident.get(pid, 0)
    return sum(int(line.split()[1]) * _KILOBYTE for line in lines if line.startswith("Pss:"))


def tree_memories_apart(pids: Iterable[int], root: Path = Path("/proc")) -> dict[int, ProcessMemory]:
    """
    Return the memory of process trees, by their root's process id, and how much is theirs alone. Blocks.

    The kernel walks through all pages of a process to tell that: it is for descriptions, not for sampling.

    :param root: where the kernel's files of processes are.
    """
    processes = _Processes.now()
    found = {}
    for pid in pids:
        parts = [part for each in processes.tree(pid) if (part := _apart(root / str(each) / _ROLLUP))]
        resident = processes.resident_of(pid)
        found[pid] = (
            ProcessMemory(resident, sum(part[0] for part in parts), sum(part[1] for part in parts))
            if parts
            else ProcessMemory(resident)
        )
    return found


@frozen
class _Processes:
    """
    The processes of a moment.

    :param children: process ids by that of their parent.
    :param resident: bytes by process id.
    """

    children: Mapping[int, Sequence[int]]
    resident: Mapping[int, int]

    @classmethod
    def now(cls) -> _Processes:
        import psutil  # in the thread, not at the start, which would wait for it

        children: dict[int, list[int]] = {}
        resident: dict[int, int] = {}
        for process in psutil.process_iter(["pid", "ppid", "memory_info"]):
            memory = process.info["memory_info"]
            children.setdefault(process.info["ppid"], []).append(process.info["pid"])
            resident[process.info["pid"]] = 0 if memory is None else memory.rss
        return cls(children, resident)

    def tree(self, root: int, but: Collection[int] = ()) -> list[int]:
        """Return a process id and those of all its descendants; not those below it that ``but`` has."""
        found = [root]
        for pid in found:
            found += [child for child in self.children.get(pid, ()) if child not in but]
        return found

    def resident_of(self, root: int) -> int:
        """Return the resident bytes of a tree."""
        return sum(self.resident.get(pid, 0) for pid in self.tree(root))


def _apart(file: Path) -> tuple[int, int] | None:
    """The private and the shared bytes of one process; None where the kernel does not tell, or it is gone."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    private = shared = 0
    for line in lines:
        name, _, rest = line.partition(":")
        if name in ("Private_Clean", "Private_Dirty"):
            private += int(rest.split()[0]) * _KILOBYTE
        elif name in ("Shared_Clean", "Shared_Dirty"):
            shared += int(rest.split()[0]) * _KILOBYTE
    return private, shared
