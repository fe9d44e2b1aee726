"""Whether a node is heard of: the connection is the truth, whatever a cluster says."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.language.attributes import define

PROBES = 4
"""Probes in the time of silence after which a node is suspect."""
MOST_UNDER_WAY = 8
"""Calls that are on their way to a worker at most, however long the way is."""
_NEAR = 0.02
"""The part of a call's time below which the way does not matter."""


@define(eq=False)
class LinkWatch:
    """
    Sends probes, and tells what their silence means. All times are the clock's seconds.

    :param silence: seconds without a byte after which the node is suspect.
    :param lost: seconds after which it is given up.
    :param probe: sends a probe with a number.
    :param went_silent: the node is suspect from now on.
    :param gave_up: it has been silent for too long; the watch is over.
    """

    clock: IReactorTime
    silence: float
    lost: float
    probe: Callable[[int], None]
    went_silent: Callable[[], None]
    heard_again: Callable[[], None]
    gave_up: Callable[[], None]
    round_trip: float | None = field(default=None, init=False)
    offset: float | None = field(default=None, init=False)
    """What has to be added to the node's monotonic seconds to have this clock's."""
    is_suspect: bool = field(default=False, init=False)
    _heard_at: float = field(default=0.0, init=False)
    _number: int = field(default=0, init=False)
    _sent: dict[int, float] = field(factory=dict, init=False)
    _probed_at: float = field(default=0.0, init=False)
    _nearest: float | None = field(default=None, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _due: float = field(default=0.0, init=False)
    """When the timer is to fire."""

    def start(self) -> None:
        """Watch from now on."""
        self._heard_at = self.clock.seconds()
        self._send()
        self._set()

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def heard(self) -> None:
        """Something came from the node."""
        self._heard_at = self.clock.seconds()
        if self.is_suspect:
            self.is_suspect = False
            self._sent.clear()  # the times of those that were kept on the way tell nothing
            self.heard_again()

    def echoed(self, number: int, there: float) -> None:
        """A probe came back; ``there`` is the node's time at its end of the way."""
        sent = self._sent.pop(number, None)
        if sent is None:
            return
        now = self.clock.seconds()
        took = now - sent
        # Echoes wait behind frames: the fast ones tell how long the way is.
        known = self.round_trip
        self.round_trip = took if known is None else min(took, known + (took - known) / 8)
        if self._nearest is None or took <= self._nearest:
            self._nearest = took
            self.offset = (sent + now) / 2 - there

    def calls_under_way(self, seconds: float) -> int:
        """Return how many calls of so many seconds fit into the way to the node and back."""
        way = self.round_trip
        if way is None or way < _NEAR * seconds:
            return 0
        return min(MOST_UNDER_WAY, 1 + int(way / max(seconds, 1e-6)))

    def _send(self) -> None:
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._probed_at = self.clock.seconds()
        if len(self._sent) > 4 * PROBES:
            self._sent.clear()
        self._sent[self._number] = self._probed_at
        self.probe(self._number)

    def _set(self) -> None:
        nearest = self._probed_at + self.silence / PROBES
        limit = self._heard_at + (self.lost if self.is_suspect else self.silence)
        now = self.clock.seconds()
        self._due = max(now, min(nearest, limit))
        self._timer = self.clock.callLater(self._due - now, self._look)

    def _look(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        late = now - self._due
        if late > self.silence / PROBES:
            # This process did nothing meanwhile, and asked for no answer.
            self._heard_at = min(now, self._heard_at + late)
        silent = now - self._heard_at
        if silent >= self.lost:
            self.gave_up()
            return
        if silent >= self.silence and not self.is_suspect:
            self.is_suspect = True
            self.went_silent()
        if now - self._probed_at >= self.silence / PROBES:
            self._send()
        self._set()
