"""Slots of shared memory: how many there are, and what all of them may take."""

from __future__ import annotations

import os
import resource
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.jobs import SharedSlot
from modelserver.protocol.shared_memory import (
    ENOUGH,
    LARGE,
    LARGEST_SLOT,
    MOST_MEMORY,
    SharedMemoryPool,
    map_slots,
)

CERTAIN = MOST_MEMORY // LARGEST_SLOT


class SlotCountTests(SynchronousTestCase):
    """A pool for bodies that may be large, and mostly are not."""

    def setUp(self) -> None:
        self.pool = self.open(2 * LARGEST_SLOT)

    def open(self, largest: int) -> SharedMemoryPool:
        pool = SharedMemoryPool.open(largest)
        assert pool is not None
        self.addCleanup(pool.close)
        return pool

    def take(self, size: int, count: int) -> list[SharedSlot]:
        """As many slots as can be had, ``count`` at most."""
        return [slot for _ in range(count) if (slot := self.pool.take(size)) is not None]

    def test_many_small_bodies_have_slots_where_one_could_be_large(self) -> None:
        taken = self.take(LARGE, 8 * CERTAIN + 1)
        self.assertEqual(8 * CERTAIN, len({slot.offset for slot in taken}))
        self.assertEqual(0, self.pool.free)

    def test_large_bodies_have_as_many_as_may_be_full(self) -> None:
        self.assertEqual(CERTAIN + CERTAIN, len(self.take(LARGEST_SLOT, 3 * CERTAIN)))

    def test_what_was_written_counts(self) -> None:
        size = LARGEST_SLOT // 4
        taken = self.take(size, CERTAIN)
        self.pool.memory[:: LARGEST_SLOT // 64] = b"x" * (8 * CERTAIN * 64)
        written = os.fstat(self.pool.descriptor).st_blocks * 512
        more = self.take(size, 8 * CERTAIN)
        self.assertEqual((MOST_MEMORY - written) // size, len(more))
        for slot in taken + more:
            slot.free()

    def test_those_that_come_back_can_be_had_again(self) -> None:
        for _ in range(3):
            taken = self.take(LARGEST_SLOT, 3 * CERTAIN)
            self.assertEqual(CERTAIN + CERTAIN, len(taken))
            for slot in taken:
                slot.free()
        self.assertEqual(8 * CERTAIN, self.pool.free)

    def test_there_are_enough_of_any_size(self) -> None:
        for largest in (LARGE, 1 << 20, 1 << 23):
            pool = self.open(largest)
            self.assertEqual(max(MOST_MEMORY // largest, min(ENOUGH, 8 * MOST_MEMORY // largest)), pool.free)

    def test_pool_is_smaller_where_files_may_not_be_as_large(self) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_FSIZE, limits)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_MEMORY, limits[1]))
        self.assertEqual(CERTAIN, self.open(LARGEST_SLOT).free)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE, limits[1]))
        self.assertIsNone(SharedMemoryPool.open(LARGEST_SLOT))

    def test_no_core_has_the_bodies(self) -> None:
        mapped = map_slots(self.pool.descriptor)
        self.assertEqual(len(self.pool.memory), len(mapped))
        size = f"Size: {len(mapped) // 1024} kB"
        flags = [
            area.partition("VmFlags:")[2].splitlines()[0].split()
            for area in Path("/proc/self/smaps").read_text().split("/memfd:modelserver")[1:]
            if size == " ".join(area.splitlines()[1].split())
        ]
        self.assertGreaterEqual(len(flags), 2)
        self.assertEqual([], [each for each in flags if "dd" not in each])
