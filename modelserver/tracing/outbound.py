"""The spans that wait to be sent, and the thread that sends them: the event loop never waits for either."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from attrs import field

from modelserver.language.attributes import define, frozen
from modelserver.tracing.plain_request import PARTS, PlainRequest
from modelserver.tracing.spans import FinishedSpan

Told = TypeVar("Told")


@frozen
class OutboundLimits:
    """
    What may wait, and how it leaves. The names of the variables are OpenTelemetry's.

    Its libraries keep and send less at once. To send costs the same for few and for many, and a span is some
    180 bytes here.

    :param size: spans that wait at most (``OTEL_BSP_MAX_QUEUE_SIZE``).
    :param batch: spans that leave together at most (``OTEL_BSP_MAX_EXPORT_BATCH_SIZE``).
    :param delay: seconds that a span waits for others (``OTEL_BSP_SCHEDULE_DELAY``).
    """

    size: int = 8192
    batch: int = 4096
    delay: float = 5.0


class SpanSender(Protocol):
    """
    What sends spans.

    :param pack_plain: the same as ``pack`` for the spans of a plain request; None: it takes spans alone.
    """

    pack_plain: Callable[[PlainRequest], object] | None

    def pack(self, spans: Sequence[FinishedSpan]) -> object:
        """Return what waits in the stead of the spans of a request; called in the event loop."""

    def send(self, packed: Sequence[object], count: int) -> bool:
        """
        Send the spans of requests, ``count`` in all, however long it takes; called in a thread of its own.

        Return whether the collector has them. It never raises.
        """

    def abort(self) -> None:
        """Give up what is being sent, as far as that is possible; called in another thread, never blocks."""


@define(eq=False)
class OutboundSpans:
    """
    Spans on their way to a collector.

    ``put`` is for the event loop: what finds no room is dropped and counted, the spans of a request together.
    They are encoded there and then: bytes that wait are nothing to the garbage collector, and the thread has
    little to do for which the event loop would have to wait.

    :param ended: called in the thread when it is over; nothing is sent after that.
    """

    limits: OutboundLimits
    sender: SpanSender
    ended: Callable[[], object] = lambda: None
    sent: int = field(default=0, init=False)
    failed: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    _waiting: deque[tuple[int, object]] = field(factory=deque, init=False)
    """What waits of each request, with the number of its spans."""
    _full: int = field(init=False)
    """Spans that do not wait for others; in a small queue that is never quite full there must be fewer."""
    _put: int = field(default=0, init=False)
    _taken: int = field(default=0, init=False)
    _taking: threading.Lock = field(factory=threading.Lock, init=False)
    _wake: threading.Event = field(factory=threading.Event, init=False)
    _is_ending: bool = field(default=False, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._full = min(self.limits.batch, max(1, self.limits.size // 2))

    @property
    def waiting(self) -> int:
        """How many spans wait."""
        return self._put - self._taken

    def put(self, spans: Sequence[FinishedSpan]) -> None:
        """Have spans sent, or drop them all where there is no room."""
        self._put_told(len(spans), self.sender.pack, spans)

    @property
    def put_plain(self) -> Callable[[PlainRequest], object] | None:
        """What does the same for the spans of a plain request; None: ``put`` is to do so."""
        pack = self.sender.pack_plain
        return None if pack is None else partial(self._put_told, PARTS, pack)

    def _put_told(self, count: int, pack: Callable[[Told], object], told: Told) -> None:
        waiting = self._put - self._taken + count
        if self._is_ending or waiting > self.limits.size:
            self.dropped += count
            return
        try:
            packed = pack(told)
        except Exception:  # a span that cannot be told is no reason for its request to fail
            self.dropped += count
            return
        self._put += count
        self._waiting.append((count, packed))
        if waiting >= self._full and not self._wake.is_set():
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
        while (taken := self._take()) is not None:
            self.dropped += taken[0]

    def _take(self, most: int = sys.maxsize) -> tuple[int, object] | None:
        """
        Return what has waited for longest, and the number of its spans; two threads may ask.

        :param most: spans; None is returned where there are more.
        """
        with self._taking:
            if not self._waiting or self._waiting[0][0] > most:
                return None
            taken = self._waiting.popleft()
            self._taken += taken[0]
            return taken

    def _run(self) -> None:
        while not self._is_ending:
            is_full = self._wake.wait(self.limits.delay)
            self._wake.clear()
            self._send_waiting(self._full if is_full else 1)
        self._send_waiting(1)
        self.ended()

    def _send_waiting(self, least: int) -> None:
        """
        Send what waits now. What comes meanwhile waits for others: to send costs nearly the same for few.

        :param least: no fewer spans are sent, except at the end.
        """
        last = self._put
        while self._is_ending or (self.waiting >= least and self._taken < last):
            first = self._take()  # a request may have more spans than leave together
            if first is None:
                return
            count, batch = first[0], [first[1]]
            while (taken := self._take(self.limits.batch - count)) is not None:
                count += taken[0]
                batch.append(taken[1])
            if self.sender.send(batch, count):
                self.sent += count
            else:
                self.failed += count
