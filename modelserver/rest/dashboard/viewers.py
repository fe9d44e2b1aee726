"""The pages that are open: one stream of events for all of them, made while somebody watches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from modelserver.errors import ServerFull
from modelserver.interfaces import InThread
from modelserver.language.attributes import define
from modelserver.metrics.history import STEP
from modelserver.rest.dashboard.machine import MachineLimits, look_at_limits
from modelserver.rest.dashboard.state import DashboardSources, DashboardState, change, take_state, whole

if TYPE_CHECKING:
    from twisted.web.server import Request

    from modelserver.http1.twisted_web import OneRequestChannel

EVERY = 1.0
"""Seconds between two events."""
LIMITS_EVERY = 10.0
"""Seconds between two looks at what the machine leaves, while somebody watches."""
MOST_VIEWERS = 16
LONGEST_UNREAD = 30.0
"""Seconds after which a page that reads nothing is cut off; meanwhile nothing more is written to it."""

_log = Logger()


@implementer(IPushProducer)
@define(eq=False)
class Viewer:
    """
    One open page.

    :param is_allowed: whether its key is good still.
    :param ended: fires when the stream is to end.
    :param is_behind: it has missed events, and needs the whole state.
    :param full_since: since when it takes nothing, in the clock's seconds; None: it reads.
    """

    request: Request
    clock: IReactorTime
    is_allowed: Callable[[], bool]
    ended: Deferred[bytes] = field(factory=Deferred, init=False)
    is_behind: bool = field(default=True, init=False)
    full_since: float | None = field(default=None, init=False)

    def begin(self) -> None:
        """Take over the request, whose head is set."""
        self.request.registerProducer(self, True)  # type: ignore[no-untyped-call]  # Twisted's

    def send(self, name: bytes, document: bytes) -> None:
        """Write one event, which is one line of JSON."""
        event = b"event: %b\ndata: %b\n\n" % (name, document)
        self.request.write(event)  # type: ignore[no-untyped-call]  # Twisted's

    def pauseProducing(self) -> None:
        """Miss the next events: the page does not read."""
        self.full_since = self.clock.seconds()

    def resumeProducing(self) -> None:
        """Begin anew with the whole state: the page has read what was written."""
        self.full_since = None

    def stopProducing(self) -> None:
        """Do nothing: the page is gone, and the route's Deferred is cancelled for it."""

    def end(self) -> None:
        """End the stream; the page may ask for another."""
        if not self.ended.called:
            self.request.unregisterProducer()  # type: ignore[no-untyped-call]  # Twisted's
            self.ended.callback(b"")

    def cut_off(self) -> None:
        """End the connection without waiting for what is unread."""
        if self.request.channel is not None:
            cast("OneRequestChannel", self.request.channel).abortConnection()


@define(eq=False)
class Viewers(Service):
    """
    Sends a state to every open page once a second; without one, it only keeps points for charts.

    :param folders: whose disks are looked at, while somebody watches.
    """

    sources: DashboardSources
    clock: IReactorTime
    in_thread: InThread
    folders: Sequence[Path] = ()
    viewers: list[Viewer] = field(factory=list, init=False)
    _state: DashboardState | None = field(default=None, init=False)
    _limits: MachineLimits | None = field(default=None, init=False)
    _looked: float | None = field(default=None, init=False)
    _ticks: LoopingCall = field(init=False)
    _points: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ticks, self._points = LoopingCall(self._tick), LoopingCall(self.sources.history.note)
        # Assigned since Twisted's constructor does not take a clock.
        self._ticks.clock = self._points.clock = self.clock

    def startService(self) -> None:
        """Keep points from now on."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._points.start(STEP)

    def stopService(self) -> None:
        """End all streams, so that the server's end does not wait for them."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if self._points.running:
            self._points.stop()
        for viewer in list(self.viewers):
            viewer.end()

    def check_room(self) -> None:
        """
        Let one more page in.

        :raises ServerFull: as many pages as may be are open.
        """
        if len(self.viewers) >= MOST_VIEWERS:
            raise ServerFull("", None, MOST_VIEWERS, "the number of open dashboards")

    def admit(self, request: Request, is_allowed: Callable[[], bool]) -> Deferred[bytes]:
        """
        Send events to a request, whose head is set, until its client leaves or the server stops.

        :param is_allowed: asked before each event: a key may expire.
        """
        viewer = Viewer(request, self.clock, is_allowed)
        self.viewers.append(viewer)
        viewer.begin()
        viewer.ended.addBoth(self._discard, viewer)
        if self._ticks.running:
            if self._state is not None:
                self._show(viewer, whole(self._state, self.sources))
        else:
            self._ticks.start(EVERY).addErrback(self._give_up)
        return viewer.ended

    def _give_up(self, failure: Failure) -> None:
        """End all streams after an error of ours; their pages will ask again."""
        _tell(failure)
        for viewer in list(self.viewers):
            viewer.end()

    def _discard(self, result: bytes | Failure, viewer: Viewer) -> bytes | Failure:
        self.viewers.remove(viewer)
        if not self.viewers and self._ticks.running:
            self._ticks.stop()
            self._state = None
        return result

    def _tick(self) -> None:
        """Take the state once, and send it to all."""
        for viewer in list(self.viewers):
            if not viewer.is_allowed():
                viewer.end()
            elif viewer.full_since is not None and self.clock.seconds() - viewer.full_since >= LONGEST_UNREAD:
                viewer.cut_off()
        if not self.viewers:
            return
        self._look()
        before, self._state = self._state, take_state(self.sources, self._limits, self._state)
        state = self._state
        changed = None if before is None else change(state, before)
        everything: bytes | None = None
        for viewer in list(self.viewers):
            if viewer.full_since is not None:
                viewer.is_behind = True
            elif changed is None or viewer.is_behind:
                everything = everything or whole(state, self.sources)
                self._show(viewer, everything)
            else:
                viewer.send(b"change", changed)

    def _show(self, viewer: Viewer, document: bytes) -> None:
        viewer.is_behind = False
        viewer.send(b"state", document)

    def _look(self) -> None:
        """Have a thread look at the machine's limits, now and then."""
        now = self.clock.seconds()
        if self._looked is None or now - self._looked >= LIMITS_EVERY:
            self._looked = now
            self.in_thread(look_at_limits, self.folders).addCallbacks(self._seen, _tell)

    def _seen(self, limits: MachineLimits) -> None:
        self._limits = limits


def _tell(failure: Failure) -> None:
    if not failure.check(CancelledError):  # type: ignore[no-untyped-call]  # Twisted's
        _log.failure("The dashboard cannot be shown", failure)
