"""Spans that wait to be sent: limits, and the end with a collector that does not answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import cast

from attrs import define, field
from twisted.trial.unittest import SynchronousTestCase

from modelserver.tracing.outbound import OutboundLimits, OutboundSpans
from modelserver.tracing.plain_request import PlainRequest
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.spans import FinishedSpan

LONGEST = 30.0


def spans(count: int) -> list[FinishedSpan]:
    """Some spans."""
    return [FinishedSpan(str(number), SpanContext(1, number + 1), None, 0, 1) for number in range(count)]


@define(eq=False)
class Sender:
    """Keeps what it is given; while it is held, it hangs as a collector may."""

    takes: bool = True
    packs: bool = True
    sent: list[list[FinishedSpan]] = field(factory=list)
    go_on: threading.Event = field(factory=threading.Event)
    is_sending: threading.Event = field(factory=threading.Event)
    aborted: bool = False
    pack_plain: Callable[[PlainRequest], object] | None = None

    def pack(self, spans: Sequence[FinishedSpan]) -> Sequence[FinishedSpan]:
        if self.packs:
            return spans
        raise OverflowError("a number that no span has")

    def send(self, packed: Sequence[object], count: int) -> bool:
        self.is_sending.set()
        self.go_on.wait(LONGEST)
        spans = cast(Sequence[Sequence[FinishedSpan]], packed)  # what ``pack`` has returned
        self.sent.append([span for each in spans for span in each])
        assert len(self.sent[-1]) == count
        return self.takes

    def abort(self) -> None:
        self.aborted = True
        self.go_on.set()


class OutboundTests(SynchronousTestCase):
    """The queue and its thread; every wait is for an event."""

    def setUp(self) -> None:
        self.over = threading.Event()
        self.sender = Sender()
        self.outbound = OutboundSpans(OutboundLimits(8, 4, LONGEST), self.sender, self.over.set)

    def end(self) -> None:
        """Have all that waits sent."""
        self.sender.go_on.set()
        self.outbound.end()
        self.assertTrue(self.over.wait(LONGEST))

    def test_what_waits_at_the_end_is_sent_in_batches(self) -> None:
        self.outbound.start()
        self.outbound.put(spans(3))
        self.outbound.put(spans(3))
        self.end()
        self.assertEqual(6, sum(map(len, self.sender.sent)))
        self.assertLessEqual(max(map(len, self.sender.sent)), 4)
        self.assertEqual((6, 0, 0), (self.outbound.sent, self.outbound.failed, self.outbound.dropped))

    def test_a_full_batch_does_not_wait(self) -> None:
        self.outbound.start()
        self.outbound.put(spans(4))
        self.assertTrue(self.sender.is_sending.wait(LONGEST))
        self.end()

    def test_what_comes_while_others_are_sent_waits_for_a_full_batch(self) -> None:
        self.outbound.start()
        self.outbound.put(spans(4))
        self.assertTrue(self.sender.is_sending.wait(LONGEST))
        self.sender.is_sending.clear()
        self.outbound.put(spans(2))
        self.sender.go_on.set()
        self.outbound.put(spans(2))
        self.assertTrue(self.sender.is_sending.wait(LONGEST))
        self.end()
        self.assertEqual([4, 4], list(map(len, self.sender.sent)))

    def test_what_finds_no_room_is_dropped_whole_and_counted(self) -> None:
        self.outbound.start()
        self.outbound.put(spans(4))
        self.assertTrue(self.sender.is_sending.wait(LONGEST))  # the collector hangs from here on
        for _ in range(100):
            self.outbound.put(spans(3))
        self.assertEqual(6, self.outbound.waiting)
        self.assertEqual(3 * 98, self.outbound.dropped)
        self.end()
        self.assertEqual(10, self.outbound.sent)

    def test_what_the_collector_does_not_take_is_counted(self) -> None:
        self.sender.takes = False
        self.outbound.start()
        self.outbound.put(spans(5))
        self.end()
        self.assertEqual((0, 5), (self.outbound.sent, self.outbound.failed))

    def test_what_cannot_be_encoded_is_dropped_and_nobody_is_disturbed(self) -> None:
        self.sender.packs = False
        self.outbound.put(spans(3))
        self.assertEqual((0, 3), (self.outbound.waiting, self.outbound.dropped))

    def test_an_abort_drops_what_waits_and_never_blocks(self) -> None:
        self.outbound.start()
        self.outbound.put(spans(4))
        self.assertTrue(self.sender.is_sending.wait(LONGEST))
        self.outbound.put(spans(2))
        self.outbound.end()
        self.outbound.abort()
        self.assertTrue(self.sender.aborted)
        self.assertEqual(0, self.outbound.waiting)
        self.assertEqual(2, self.outbound.dropped)
        self.assertTrue(self.over.wait(LONGEST))

    def test_nothing_is_taken_after_the_end(self) -> None:
        self.outbound.start()
        self.end()
        self.outbound.put(spans(2))
        self.assertEqual((0, 2), (self.outbound.waiting, self.outbound.dropped))

    def test_one_that_was_never_started_ends_at_once(self) -> None:
        self.outbound.end()
        self.assertTrue(self.over.is_set())
