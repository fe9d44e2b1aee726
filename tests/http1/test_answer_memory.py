"""Answers that nobody reads: how much memory they may take, and how long."""

from __future__ import annotations

from typing import cast

from attrs import define
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.http1.answer_memory import STALLED, AnswerMemory
from modelserver.http1.limits import SWEEP, Connections
from modelserver.http1.states import OpenConnection
from modelserver.jobs import Answer
from tests.harness.connections import ConnectionStage
from tests.harness.requests import HOT
from tests.harness.transports import MemoryTransport


@define(eq=False)
class Reader:
    """A connection whose client takes as much as the test says."""

    unsent: int = 0
    written: int = 0
    is_aborted: bool = False

    @property
    def taken(self) -> int:
        return self.written - self.unsent

    def abort(self) -> None:
        self.is_aborted = True


class AnswerMemoryTests(SynchronousTestCase):
    """Who is cut off, and when."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.memory = AnswerMemory(self.clock, limit=100_000, timeout=10.0, rate=100)

    def pass_time(self, seconds: int, *readers: Reader) -> None:
        for _ in range(seconds):
            self.clock.advance(SWEEP)
            self.memory.sweep([cast(OpenConnection, each) for each in readers if not each.is_aborted])

    def fill(self, reader: Reader) -> None:
        self.memory.note_full(cast(OpenConnection, reader))

    def test_a_byte_now_and_then_is_no_progress(self) -> None:
        dripping, slow = Reader(50_000), Reader(50_000)
        for _ in range(9):
            dripping.unsent -= 1
            slow.unsent -= 100
            self.pass_time(1, dripping, slow)
        self.assertFalse(dripping.is_aborted)
        self.pass_time(2, dripping)
        self.assertEqual((True, False), (dripping.is_aborted, slow.is_aborted))

    def test_what_is_taken_in_lumps_counts_on_the_average(self) -> None:
        reader = Reader(50_000)
        for _ in range(5):
            self.pass_time(8, reader)
            reader.unsent -= 900
            self.pass_time(1, reader)
        self.assertFalse(reader.is_aborted)

    def test_a_stream_that_is_refilled_as_fast_as_it_is_read_makes_progress(self) -> None:
        reader = Reader(50_000, 50_000)
        for _ in range(30):
            reader.written += 1000
            self.pass_time(1, reader)
        self.assertFalse(reader.is_aborted)

    def test_over_the_limit_who_has_stalled_for_longest_goes_at_once(self) -> None:
        readers = [Reader(40_000) for _ in range(2)]
        for reader in readers:
            self.fill(reader)
        for _ in range(int(STALLED) + 1):
            readers[0].unsent -= 100
            self.pass_time(1, *readers)
        newcomer = Reader(40_000)
        self.fill(newcomer)
        self.assertFalse(readers[1].is_aborted)  # not in the middle of a write
        self.clock.advance(0)
        self.assertEqual(
            [False, True, False], [reader.is_aborted for reader in (readers[0], readers[1], newcomer)]
        )
        self.assertLess(self.memory.unsent, 100_000)

    def test_where_all_make_progress_the_last_to_come_goes(self) -> None:
        readers = [Reader(40_000) for _ in range(4)]
        for reader in readers:
            self.fill(reader)
        self.clock.advance(0)
        self.assertEqual([False, False, True, True], [reader.is_aborted for reader in readers])

    def test_one_answer_may_be_larger_than_all_may_be_together(self) -> None:
        reader = Reader(1_000_000)
        self.fill(reader)
        self.clock.advance(0)
        self.assertFalse(reader.is_aborted)

    def test_who_has_left_is_not_counted(self) -> None:
        reader = Reader(90_000)
        self.fill(reader)
        self.memory.discard(cast(OpenConnection, reader))
        self.assertEqual(0, self.memory.unsent)

    def test_no_limit_is_none(self) -> None:
        self.memory.limit = 0
        readers = [Reader(1_000_000) for _ in range(3)]
        for reader in readers:
            self.fill(reader)
        self.pass_time(1, *readers)
        self.assertFalse(any(reader.is_aborted for reader in readers))


class UnreadTransport(MemoryTransport):
    """Its client reads nothing: it is full at once."""

    def unsent(self) -> int:
        return len(self.value())

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        assert self.producer is not None
        self.producer.pauseProducing()


class ListenerAnswerTests(SynchronousTestCase):
    """The same for the connections of a listener."""

    def test_clients_that_do_not_read_share_so_much_memory(self) -> None:
        stage = ConnectionStage()
        connections = Connections(stage.stage.clock, response_memory=40_000)
        stage.listener.connections = connections.for_listener()
        transports = [UnreadTransport() for _ in range(6)]
        for transport in transports:
            stage.connect(transport).send(HOT)
            stage.turn()
            stage.answer(Answer(200, b"", b"x" * 10_000))
            stage.stage.clock.advance(0)
        kept = [transport.is_aborted for transport in transports].count(False)
        self.assertEqual(3, kept)
        self.assertLess(connections.unsent, 70_000)
