"""Memory goes back to the kernel when a load is over, and not before."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.server.idle_memory import IDLE, INTERVAL, IdleMemory
from tests.harness.threads import at_once


class IdleMemoryTests(SynchronousTestCase):
    """Looks at intervals."""

    def setUp(self) -> None:
        self.clock, self.cpu, self.given = Clock(), 0.0, 0
        self.memory = IdleMemory(self.clock, at_once, lambda: self.cpu, None, self.give_back)
        self.memory.start()
        self.addCleanup(self.memory.stop)

    def give_back(self) -> bool:
        """Count."""
        self.given += 1
        return True

    def look(self, share: float) -> int:
        """Work so much of a processor until the next look; how often memory was given back by then."""
        self.cpu += share * INTERVAL
        self.clock.advance(INTERVAL)
        return self.given

    def test_it_is_given_back_once_when_a_load_is_over(self) -> None:
        self.assertEqual([0, 0, 1, 1, 1], [self.look(share) for share in (0.9, 0.5, 0.0, 0.0, 0.001)])

    def test_the_start_is_a_load(self) -> None:
        self.assertEqual(1, self.look(0.0))

    def test_it_is_kept_while_there_is_work(self) -> None:
        self.assertEqual(0, [self.look(2 * IDLE) for _ in range(10)][-1])

    def test_each_load_counts(self) -> None:
        self.assertEqual([1, 1, 2], [self.look(share) for share in (0.0, 0.3, 0.0)])


class TrimTests(SynchronousTestCase):
    """Slots in shared memory."""

    def setUp(self) -> None:
        pool = SharedMemoryPool.open(1 << 20)
        assert pool is not None
        self.pool = pool
        self.addCleanup(pool.close)

    def fill(self) -> int:
        """Write a slot and give it back; where it is."""
        slot = self.pool.take(1 << 20)
        assert slot is not None
        self.pool.view(slot)[:] = b"x" * slot.size
        slot.free()
        return slot.offset

    def test_pages_of_free_slots_go(self) -> None:
        offset = self.fill()
        self.pool.trim()
        self.assertEqual(bytes(10), bytes(self.pool.memory[offset : offset + 10]))

    def test_slots_in_use_stay_as_they_are(self) -> None:
        offset = self.fill()
        slot = self.pool.take(1 << 20)
        assert slot is not None
        self.assertEqual(offset, slot.offset)
        self.pool.trim()
        self.assertEqual(b"x" * 10, bytes(self.pool.view(slot)[:10]))

    def test_a_trimmed_slot_can_be_used(self) -> None:
        self.fill()
        self.pool.trim()
        self.assertEqual(b"x", bytes(self.pool.memory[self.fill() :][:1]))
