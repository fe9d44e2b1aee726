"""The spans that wait to be sent, and the thread that sends them: the event loop never waits for either."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import define, field, frozen

from modelserver.tracing.spans import FinishedSpan


@frozen
class OutboundLimits:
    """
    What may wait, and how it leaves. The names of the variables are OpenTelemetry's.

    :param size: spans that wait at most (``OTEL_BSP_MAX_QUEUE_SIZE``).
    :param batch: spans that leave together at most (``OTEL_BSP_MAX_EXPORT_BATCH_SIZE``).
    :param delay: seconds that a span waits for others (``OTEL_BSP_SCHEDULE_DELAY``).
    """

    size: int = 2048
    batch: int = 512
    delay: float = 5.0


class SpanSender(Protocol):
    """What sends spans. It is called in a thread of its own."""

    def send(self, spans: Sequence[FinishedSpan]) -> bool:
        """Send spans, however long it takes; return whether the collector has them. It never raises."""

    def abort(self) -> None:
        """Give up what is being sent, as far as that is possible; called in another thread, never blocks."""


@define(eq=False)
class OutboundSpans:
    """
    Spans on their way to a collector.

    ``put`` is for the event loop: what finds no room is dropped and counted, the spans of a request together.

    :param ended: called in the thread when it is over; nothing is sent after that.
    """

    limits: OutboundLimits
    sender: SpanSender
    ended: Callable[[], object] = lambda: None
    sent: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    _waiting: deque[FinishedSpan] = field(factory=deque, init=False)
    _wake: threading.Event = field(factory=threading.Event, init=False)
    _is_ending: bool = field(default=False, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    @property
    def waiting(self) -> int:
        """How many spans wait."""
        return len(self._waiting)

    def put(self, spans: Sequence[FinishedSpan]) -> None:
        """Have spans sent, or drop them all where there is no room."""
        waiting = self._waiting
        if self._is_ending or len(waiting) + len(spans) > self.limits.size:
            self.dropped += len(spans)
            return
        waiting.extend(spans)
        if len(waiting) >= self.limits.batch and not self._wake.is_set():
            self._wake.set()

    def start(self) -> None:
        """Start the thread. The process does not wait for it at its end."""
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Take no more, and send what waits; ``ended`` is called after that."""
        self._is_ending = True
        self._wake.set()
        if self._thread is None:
            self.ended()

    def abort(self) -> None:
        """Send no more: the time to do so is over. What waits is dropped."""
        self._is_ending = True
        self._drop()
        self.sender.abort()

    def _drop(self) -> None:
        while self._take():
            self.dropped += 1

    def _take(self) -> FinishedSpan | None:
        """Return the span that has waited for longest; two threads may ask."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _run(self) -> None:
        while not self._is_ending:
            self._wake.wait(self.limits.delay)
            self._wake.clear()
            self._send_waiting()
        self._send_waiting()
        self.ended()

    def _send_waiting(self) -> None:
        while True:
            batch: list[FinishedSpan] = []
            while len(batch) < self.limits.batch and (span := self._take()) is not None:
                batch.append(span)
            if not batch:
                return
            if self.sender.send(batch):
                self.sent += len(batch)
            else:
                self.failed += len(batch)
