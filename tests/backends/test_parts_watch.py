"""When the server looks for parts, and when it rests."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.parts_watch import SOON, PartsWatch
from modelserver.protocol.parts import AREA_SIZE, LOOKING, PartsReader, PartsWriter


class PartsWatchTests(SynchronousTestCase):
    """A worker lays parts; the watch is told what it announces."""

    def setUp(self) -> None:
        memory = bytearray(AREA_SIZE)
        self.reader, self.writer = PartsReader(memoryview(memory)), PartsWriter(memory)
        self.clock = Clock()
        self.clock.advance(100.0)
        self.watch = PartsWatch(self.reader, self.clock, self.look)
        self.seen = 0

    def look(self) -> bool:
        """Take what is there."""
        found = self.reader.take(0)
        self.seen += sum(len(parts) for _, parts in found)
        return bool(found)

    def lay(self) -> bool:
        """Lay a part as a worker does; returns whether it was announced."""
        self.assertTrue(self.writer.lay(0, 1, 0, b"part"))
        if self.writer.words[LOOKING]:
            return False
        self.look()
        self.watch.announced()
        return True

    def test_slow_parts_are_announced_each(self) -> None:
        for _ in range(3):
            self.assertTrue(self.lay())
            self.assertEqual(self.clock.getDelayedCalls(), [])
            self.clock.advance(5 * SOON)
        self.assertEqual(self.seen, 3)

    def test_fast_parts_are_looked_for(self) -> None:
        self.assertEqual([self.lay() for _ in range(5)], [True, True, False, False, False])
        self.assertEqual(self.seen, 2)
        self.clock.advance(SOON)
        self.assertEqual(self.seen, 5)

    def test_part_that_no_other_follows_is_seen_soon(self) -> None:
        self.lay()
        self.lay()
        self.assertFalse(self.lay())
        self.clock.advance(SOON)
        self.assertEqual(self.seen, 3)

    def test_it_rests_after_a_look_that_nothing_came_of_and_one_more(self) -> None:
        self.lay()
        self.lay()
        self.clock.advance(SOON)
        self.assertFalse(self.writer.words[LOOKING])
        # A worker that has asked just before may lay this unannounced.
        self.assertTrue(self.writer.lay(0, 1, 0, b"part"))
        self.clock.advance(SOON)
        self.assertEqual(self.seen, 3)
        self.clock.advance(SOON)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertTrue(self.lay())

    def test_parts_behind_an_answer_that_is_on_its_way_keep_it_awake(self) -> None:
        self.lay()
        self.lay()
        self.assertTrue(self.writer.lay(1, 1, 0, b"part"))
        for _ in range(3):
            self.clock.advance(SOON)
        self.assertTrue(self.writer.words[LOOKING])

    def test_closing_ends_the_looks(self) -> None:
        self.lay()
        self.lay()
        self.watch.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
