"""A worker waits awake where that has paid, and asleep where it has not."""

from __future__ import annotations

import socket
import struct

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.loops.wait import LOOK, MOST_MISSES, NEXT_LOOK, SpinThenBlock
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader


class WaitingTests(SynchronousTestCase):
    """The server writes while the worker looks, or before it sleeps."""

    def setUp(self) -> None:
        self.ours, theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(theirs.close)
        # Not settimeout, with which Python waits for data before it looks.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 10, 0))
        self.theirs = theirs
        self.seconds = 0.0
        self.rests = 0
        self.says_at = 1

    def rest(self) -> None:
        """Each time that the worker lets others run, a third of its time to look goes by."""
        self.rests += 1
        self.seconds += LOOK / 3
        if self.rests == self.says_at:
            self.say()

    def say(self) -> None:
        self.ours.send(frames.pack_bare(frames.CREDIT, 7))

    def waiting(self, processors: int = 2) -> SpinThenBlock:
        reader = FrameReader()
        return SpinThenBlock(self.theirs, reader, processors, lambda: self.seconds, self.rest)

    def ask(self, waiting: SpinThenBlock, was_alone: bool = True) -> int:
        """Wait for a frame; returns how often others could run meanwhile."""
        self.rests = 0
        self.assertEqual(waiting.frame(was_alone).number, 7)
        return self.rests

    def test_what_comes_while_it_looks(self) -> None:
        waiting = self.waiting()
        self.assertEqual([self.ask(waiting) for _ in range(3 * MOST_MISSES)], [1] * 3 * MOST_MISSES)

    def test_looks_that_bring_nothing_end_for_a_while(self) -> None:
        self.says_at = 3  # when the time to look is over
        waiting = self.waiting()
        for _ in range(2):
            self.assertEqual([self.ask(waiting) for _ in range(MOST_MISSES)], [3] * MOST_MISSES)
            for _ in range(NEXT_LOOK - MOST_MISSES):
                self.say()
                self.assertEqual(self.ask(waiting), 0)

    def test_the_server_closes_while_it_looks(self) -> None:
        self.ours.close()
        with self.assertRaises(EOFError):
            self.waiting().frame(was_alone=True)

    def test_nobody_looks_after_a_batch_or_with_one_processor(self) -> None:
        for waiting, was_alone in ((self.waiting(), False), (self.waiting(processors=1), True)):
            self.say()
            self.assertEqual(self.ask(waiting, was_alone), 0)
