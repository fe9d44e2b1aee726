"""What the connections of one gRPC listener share."""

from __future__ import annotations

from collections.abc import Callable
from mmap import mmap
from typing import Protocol

from attrs import field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from modelserver.core.queues.time_buckets import Bucket, TimeBuckets
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.limits import ConnectionTimeouts
from modelserver.http1.states import ConnectionLimits
from modelserver.language.attributes import define, frozen
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.call import ServerCall
from modelserver.rpc.http2 import EngineMaker, Http2Limits
from modelserver.rpc.interfaces import CallSite
from modelserver.rpc.limits import RpcLimits
from modelserver.rpc.request_fields import KnownFields

GRACE = 0.02
"""Seconds after its deadline at which a call is ended; by then its job, if it has one, has ended it."""
ROOM = 256 << 10
"""Bytes that are received at once while large bodies come."""
QUIET = 1.0
"""Seconds between two lines about connections that were ended."""


@define(eq=False)
class EndedConnections:
    """
    Writes down why connections were ended, for which their clients are to blame: a line a second at most.

    :param counts: how many, by what they were named.
    """

    clock: IReactorTime
    log: Logger = field(factory=lambda: Logger("modelserver.rpc"))
    counts: dict[str, int] = field(factory=dict, init=False)
    _quiet_until: float = field(default=0.0, init=False)
    _unsaid: int = field(default=0, init=False)

    def note(self, remote: str, name: str, reason: str) -> None:
        """Write down one."""
        self.counts[name] = self.counts.get(name, 0) + 1
        now = self.clock.seconds()
        if now < self._quiet_until:
            self._unsaid += 1
            return
        self._quiet_until = now + QUIET
        more, self._unsaid = self._unsaid, 0
        self.log.warn(
            "The gRPC connection of {remote} was ended: {name}: {reason}{more}",
            remote=remote,
            name=name,
            reason=reason,
            more=f" (and {more} more connections since the last line)" if more else "",
        )


class SweptConnection(Protocol):
    """A connection that is looked at now and then."""

    def sweep(self, now: float) -> None:
        """Look at what takes too long; ``now``: the clock's (monotonic) seconds."""

    def finish(self) -> None:
        """Close after the calls in hand."""


@frozen(eq=False, kw_only=True)
class RpcListener:
    """
    What a connection has around it.

    :param run_soon: runs something in the reactor's next turn.
    :param connections: the connections that there are and may be.
    :param memory: what the bodies of requests may take together.
    :param slots: memory that workers can read, for large messages; None: there is none.
    :param timeouts: how long a client may take.
    :param open: the connections of this listener.
    :ivar known: the fields of calls that were made before.
    :ivar room: where connections receive what is copied from there at once.
    """

    site: CallSite
    clock: IReactorTime
    run_soon: Callable[[Callable[[], None]], object]
    connections: ConnectionLimits
    make_engine: EngineMaker
    limits: RpcLimits
    memory: BodyMemory
    slots: SharedMemoryPool | None
    timeouts: ConnectionTimeouts
    http2: Http2Limits
    ended: EndedConnections
    deadlines: TimeBuckets[ServerCall]
    open: set[SweptConnection] = field(factory=set)
    known: KnownFields = field(init=False)
    room: memoryview = field(factory=lambda: memoryview(mmap(-1, ROOM)), init=False)

    def watch(self, timed: list[ServerCall]) -> None:
        """Watch over those calls with a time limit that were not answered at once; forget the list."""
        add = self.deadlines.add
        for call in timed:
            if not call.is_over:
                assert call.deadline is not None  # these have one
                add(call, call.deadline + GRACE)
        timed.clear()

    @known.default
    def _make_known(self) -> KnownFields:
        return KnownFields(self.site.find, self.site.is_open)


def watch_calls(clock: IReactorTime) -> TimeBuckets[ServerCall]:
    """Return what ends calls whose time is over."""
    return TimeBuckets(clock, _place, ServerCall.expired)


def _place(call: ServerCall, bucket: Bucket[ServerCall]) -> None:
    call.bucket, call.leaves_something = bucket, True
