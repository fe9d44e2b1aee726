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
LARGEST_SLOT = 64 * 1024 * 1024
MOST_MEMORY = 512 * 1024 * 1024
"""Bytes of all slots together; what was never used takes no memory."""


@define(eq=False)
class SharedMemoryPool:
    """
    A pool of equal slots in one anonymous file.

    :param descriptor: the file, for workers to map.
    :param size: bytes of a slot.
    """

    descriptor: int
    size: int
    memory: memoryview
    _free: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        # The last one given back is taken first: its pages exist, and the caches may know them.
        self._free = list(range(len(self.memory) - self.size, -1, -self.size))

    @classmethod
    def open(cls, largest_body: int) -> SharedMemoryPool | None:
        """
        Make a pool for bodies of up to ``largest_body`` bytes.

        :returns: None where the system has no such memory, or refuses it.
        """
        page = mmap.PAGESIZE
        size = -(-min(largest_body, LARGEST_SLOT) // page) * page
        total = max(MOST_MEMORY // size, 4) * size
        try:
            descriptor = os.memfd_create("modelserver", os.MFD_CLOEXEC)
        except (AttributeError, OSError):
            return None
        os.ftruncate(descriptor, total)
        return cls(descriptor, size, memoryview(mmap.mmap(descriptor, total)))

    def take(self, size: int) -> SharedSlot | None:
        """A slot for a body of ``size`` bytes; None if it is too large, or all are taken."""
        if size > self.size or not self._free:
            return None
        offset = self._free.pop()
        return SharedSlot(offset, size, lambda: self._free.append(offset))

    def view(self, place: SharedSlot) -> memoryview:
        """The bytes of a body."""
        return self.memory[place.offset : place.offset + place.size]

    @property
    def free(self) -> int:
        """How many slots can be taken."""
        return len(self._free)

    def trim(self) -> None:
        """Give the pages of free slots back to the kernel; a slot that is taken again gets new ones."""
        memory = self.memory.obj
        if isinstance(memory, mmap.mmap) and hasattr(mmap, "MADV_REMOVE"):
            with suppress(OSError):  # a sandbox may refuse the call: then they stay
                for offset in self._free:
                    memory.madvise(mmap.MADV_REMOVE, offset, self.size)

    def close(self) -> None:
        """Give the memory back, once no worker needs it."""
        os.close(self.descriptor)


def map_slots(descriptor: int) -> memoryview:
    """A worker's view of the slots of its server."""
    return memoryview(mmap.mmap(descriptor, os.fstat(descriptor).st_size))
