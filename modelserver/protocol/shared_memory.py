"""Memory that the server and its workers share: slots for large bodies, taken and freed by the server."""

from __future__ import annotations

import mmap
import os
from contextlib import suppress

from attrs import field

from modelserver.jobs import SharedSlot
from modelserver.language.attributes import define

LARGE = 64 * 1024
"""Bytes from which on a body is worth a slot."""
FEWEST = 4
"""Slots, however large they are."""
LARGEST_SLOT = 64 * 1024 * 1024
MOST_MEMORY = 512 * 1024 * 1024
"""Bytes that all slots together may take; what was never used takes none."""
MOST_ADDRESSES = 8 * MOST_MEMORY
"""Bytes of all slots together, used or not: most bodies are far smaller than the largest that may come."""
ENOUGH = 1024
"""Slots up to which there are more than could be full at once."""
_BLOCK = 512
"""Bytes of what ``stat`` counts, whatever the file system says of its own."""


@define(eq=False)
class SharedMemoryPool:
    """
    A pool of equal slots in one anonymous file.

    A slot has room for the largest body, and for an answer as large, but takes only the memory that was
    written. So there are more slots than could be full at once: those that could are always to be had, the
    others while all together are small enough.

    :param descriptor: the file, for workers to map.
    :param size: bytes of a slot.
    """

    descriptor: int
    size: int
    memory: memoryview
    _free: list[int] = field(init=False)
    _more: list[int] = field(init=False)
    """Those beyond what could be full at once."""
    _promised: int = field(default=0, init=False)
    """Bytes of the bodies for which these were taken, come or not."""

    def __attrs_post_init__(self) -> None:
        # The last one given back is taken first: its pages exist, and the caches may know them.
        offsets = range(0, len(self.memory), self.size)
        certain = _certain(self.size)
        self._free = list(reversed(offsets[:certain]))
        self._more = list(reversed(offsets[certain:]))

    @classmethod
    def open(cls, largest_body: int) -> SharedMemoryPool | None:
        """
        Make a pool for bodies of up to ``largest_body`` bytes.

        :returns: None where the system has no such memory, or refuses it.
        """
        page = mmap.PAGESIZE
        size = -(-min(largest_body, LARGEST_SLOT) // page) * page
        try:
            descriptor = os.memfd_create("modelserver", os.MFD_CLOEXEC)
        except (AttributeError, OSError):
            return None
        certain = _certain(size)
        for count in (max(min(MOST_ADDRESSES // size, ENOUGH), certain), certain):
            total = count * size
            try:
                os.ftruncate(descriptor, total)
                return cls(descriptor, size, _map(descriptor, total))
            except OSError:  # a limit on files or on addresses: ulimit -f, ulimit -v
                continue
        os.close(descriptor)
        return None

    def take(self, size: int) -> SharedSlot | None:
        """A slot for a body of ``size`` bytes; None if it is too large, or all are taken."""
        if size > self.size:
            return None
        if not self._free:
            return self._take_more(size)
        offset = self._free.pop()
        return SharedSlot(offset, size, lambda: self._free.append(offset))

    def _take_more(self, size: int) -> SharedSlot | None:
        if (
            not self._more
            or os.fstat(self.descriptor).st_blocks * _BLOCK + self._promised + size > MOST_MEMORY
        ):
            return None
        offset = self._more.pop()
        self._promised += size

        def give_back() -> None:
            self._more.append(offset)
            self._promised -= size

        return SharedSlot(offset, size, give_back)

    def put(self, body: bytes | bytearray | memoryview) -> SharedSlot | None:
        """A slot with a copy of a body in it; None as with ``take``."""
        slot = self.take(len(body))
        if slot is not None:
            self.view(slot)[:] = body
        return slot

    def view(self, place: SharedSlot) -> memoryview:
        """The bytes of a body."""
        return self.memory[place.offset : place.offset + place.size]

    @property
    def free(self) -> int:
        """How many slots can be taken."""
        return len(self._free) + len(self._more)

    def trim(self) -> None:
        """Give the pages of free slots back to the kernel; a slot that is taken again gets new ones."""
        memory = self.memory.obj
        if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_REMOVE"):
            with suppress(OSError):  # a sandbox may refuse the call: then they stay
                for offset in self._free + self._more:
                    memory.madvise(mmap.MADV_REMOVE, offset, self.size)

    def close(self) -> None:
        """Give the memory back, once no worker needs it."""
        os.close(self.descriptor)


def _certain(size: int) -> int:
    """How many slots may be full at once."""
    return max(MOST_MEMORY // size, FEWEST)


def map_slots(descriptor: int) -> memoryview:
    """A worker's view of the slots of its server."""
    return _map(descriptor, os.fstat(descriptor).st_size)


def _map(descriptor: int, size: int) -> memoryview:
    memory = mmap.mmap(descriptor, size)
    if hasattr(mmap, "MADV_DONTDUMP"):
        # Bodies of others are not for the core of a worker that crashed, and the kernel writes, and makes,
        # every page of it, used or not: 4 GB take half a minute.
        with suppress(OSError):
            memory.madvise(mmap.MADV_DONTDUMP)
    return memoryview(memory)
