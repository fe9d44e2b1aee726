"""The open connections of a server: how many there may be, and how long each may take for what it does."""

from __future__ import annotations

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

from modelserver.errors import ServerFull
from modelserver.http1.connection import Channel
from modelserver.http1.head import Malformed
from modelserver.http1.states import Phase

SWEEP = 1.0
"""Seconds between two looks: one timer for all connections instead of one for each."""
LAST_LOOK = 0.02
RESERVE = 128
"""Descriptors that all connections must leave to workers and files."""
FEWEST_AT_OTHERS, MOST_AT_OTHERS = 64, 1024
"""Connections that a listener without predictions may have, which these must leave to it, too."""
MOST_RESERVED = RESERVE + 2 * MOST_AT_OTHERS
MOST_OVER_LIMIT = 16
"""Connections over its limit that a listener may have for a moment; they come out of the reserve, too."""
OVER_LIMIT_TIME = 2.0
"""Seconds that one of those has for the head of its request."""


@frozen
class ConnectionTimeouts:
    """
    How long a client may take, in seconds.

    :param idle: without a request.
    :param head: for the head of a request, and before the rate of its body counts.
    :param linger: to read why it was refused.
    :param write: to take some of its answer.
    :param rate: bytes a second that a body must arrive with at least, on the average; 0: any.
    """

    idle: float = 75.0
    head: float = 10.0
    linger: float = 5.0
    write: float = 60.0
    rate: int = 500


@frozen
class Watch:
    """
    What a channel was doing, and since when.

    :param since: the clock's seconds.
    :param received: how much of the body was there then.
    """

    phase: Phase
    served: int
    since: float
    received: int


@frozen
class Backlog:
    """Bytes of answers that a client did not take, and since when not one of them."""

    size: int
    since: float


@define(eq=False)
class ListenerConnections:
    """
    The connections of one listener, which may be so many.

    One that is over a limit is let in all the same, as a visitor: it is answered once and closed, with what
    it asked for if that is no prediction, so that management and health are always reached. Visitors are
    few: the oldest whose request has not come whole makes room for the next.

    :param limit: how many in all; 0: any number.
    :param limit_of_address: how many from one address; 0: any number.
    """

    channels: set[Channel]
    limit: int = 0
    limit_of_address: int = 0
    most_over_limit: int = MOST_OVER_LIMIT
    _visitors: dict[Channel, None] = field(factory=dict, init=False)
    _count: int = field(default=0, init=False)
    _hosts: dict[str, int] = field(factory=dict, init=False)

    def refusal(self, host: str) -> ServerFull | None:
        """The limit that one more connection from ``host`` is over, or None."""
        if self.limit and self._count >= self.limit:
            return ServerFull("", None, self.limit, "max_connections")
        if self.limit_of_address and self._hosts.get(host, 0) >= self.limit_of_address:
            return ServerFull("", None, self.limit_of_address, "max_connections_per_address")
        return None

    def add(self, channel: Channel) -> None:
        """A connection is open."""
        self.channels.add(channel)
        if channel.over is not None:
            self._receive(channel)
            return
        self._count += 1
        self._hosts[channel.host] = self._hosts.get(channel.host, 0) + 1

    def discard(self, channel: Channel) -> None:
        """A connection is over."""
        self.channels.discard(channel)
        if channel.over is not None:
            self._visitors.pop(channel, None)
            return
        self._count -= 1
        left = self._hosts[channel.host] - 1
        if left:
            self._hosts[channel.host] = left
        else:
            del self._hosts[channel.host]

    def _receive(self, channel: Channel) -> None:
        self._visitors[channel] = None
        if len(self._visitors) > self.most_over_limit:
            leaver = next((each for each in self._visitors if each.phase is not Phase.BUSY), channel)
            del self._visitors[leaver]
            leaver.evict()


@define(eq=False)
class Connections:
    """Owns the open channels, and closes those whose clients take too long."""

    clock: IReactorTime
    timeouts: ConnectionTimeouts = ConnectionTimeouts()
    channels: set[Channel] = field(factory=set, init=False)
    _watches: dict[Channel, Watch] = field(factory=dict, init=False)
    _backlogs: dict[Channel, Backlog] = field(factory=dict, init=False)
    _loop: LoopingCall = field(init=False)
    _last: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self.sweep)
        self._loop.clock = self.clock

    def door(self, limit: int = 0, limit_of_address: int = 0) -> ListenerConnections:
        """The way in for one listener."""
        return ListenerConnections(self.channels, limit, limit_of_address)

    def start(self) -> None:
        """Begin to look."""
        self._loop.start(SWEEP, now=False)

    def close(self, seconds: float) -> Deferred[None]:
        """Close everything as soon as it is written; fires when that is done, or after ``seconds``."""
        if self._loop.running:
            self._loop.stop()
        for channel in list(self.channels):
            channel.transport.loseConnection()
        end = self.clock.seconds() + seconds
        looking = LoopingCall(self._look_at_the_last, end)
        looking.clock = self.clock
        self._last = looking
        return looking.start(LAST_LOOK).addCallback(lambda loop: None)

    def _look_at_the_last(self, end: float) -> None:
        if not self.channels or self.clock.seconds() >= end:
            self._last.stop()

    @property
    def unsent(self) -> int:
        """Bytes of answers that are on their way to clients."""
        return sum(channel.unsent for channel in self.channels)

    def sweep(self) -> None:
        """Look at every connection once."""
        now = self.clock.seconds()
        watches, backlogs = self._watches, self._backlogs
        self._watches, self._backlogs = {}, {}
        for channel in list(self.channels):
            self._look_at_answer(channel, backlogs.get(channel), now)
            watch = watches.get(channel)
            if watch is None or watch.phase is not channel.phase or watch.served != channel.served:
                watch = Watch(channel.phase, channel.served, now, channel.received)
            self._watches[channel] = watch
            self._look_at_request(channel, watch, now)

    def _look_at_request(self, channel: Channel, watch: Watch, now: float) -> None:
        spent, timeouts = now - watch.since, self.timeouts
        if channel.over is not None and spent >= OVER_LIMIT_TIME and watch.phase in (Phase.IDLE, Phase.HEAD):
            channel.evict()
        elif watch.phase is Phase.IDLE and spent >= timeouts.idle:
            channel.transport.loseConnection()
        elif watch.phase is Phase.LINGER and spent >= timeouts.linger:
            channel.transport.abortConnection()
        elif watch.phase is Phase.HEAD and spent >= timeouts.head:
            channel.refuse(Malformed(408, f"The head of the request took over {timeouts.head:g} s."))
        elif (
            watch.phase is Phase.BODY
            and spent >= timeouts.head
            and channel.received - watch.received < spent * timeouts.rate
        ):
            channel.refuse(Malformed(408, f"The body came with under {timeouts.rate} bytes a second."))

    def _look_at_answer(self, channel: Channel, before: Backlog | None, now: float) -> None:
        unsent = channel.unsent
        if not unsent:
            return
        if before is None or unsent < before.size:
            before = Backlog(unsent, now)
        self._backlogs[channel] = before
        if now - before.since >= self.timeouts.write:
            channel.transport.abortConnection()


def most_at_others(descriptors: int) -> int:
    """
    How many connections a listener without predictions may have: management stays reachable.

    :param descriptors: that this process may have.
    """
    return max(FEWEST_AT_OTHERS, min(MOST_AT_OTHERS, descriptors // 16))


def most_connections(limit: int, descriptors: int) -> int:
    """
    How many connections predictions may have, so that descriptors are left for everything else.

    :param limit: as configured; 0: no limit.
    :param descriptors: that this process may have.
    """
    possible = max(descriptors - RESERVE - 2 * most_at_others(descriptors), descriptors // 2)
    return min(limit, possible) if limit else possible
