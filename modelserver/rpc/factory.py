"""A gRPC listener's factory of connections."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import LoopingCall

from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.limits import ConnectionTimeouts
from modelserver.http1.states import ConnectionLimits, host_of
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.connection import RpcConnection
from modelserver.rpc.http2 import EngineMaker, Http2Limits
from modelserver.rpc.interfaces import CallSite
from modelserver.rpc.limits import RpcLimits
from modelserver.rpc.listener_context import EndedConnections, RpcListener, watch_calls

SWEEP = 0.5
"""Seconds between two looks at a listener's connections."""


class RpcFactory(ServerFactory):
    """
    Makes the connections of one listener.

    :param run_soon: runs something in the reactor's next turn.
    :param make_engine: from ``engines.choice.load_engine``.
    :param memory: what the bodies of requests may take together; None: without a limit.
    :param slots: memory that workers can read, for large messages; None: there is none.
    """

    noisy = False

    def __init__(
        self,
        site: CallSite,
        clock: IReactorTime,
        run_soon: Callable[[Callable[[], None]], object],
        connections: ConnectionLimits,
        make_engine: EngineMaker,
        limits: RpcLimits | None = None,
        timeouts: ConnectionTimeouts | None = None,
        memory: BodyMemory | None = None,
        slots: SharedMemoryPool | None = None,
    ) -> None:
        self._count = 0
        limits = limits or RpcLimits()
        self.listener = RpcListener(
            site=site,
            clock=clock,
            run_soon=run_soon,
            connections=connections,
            make_engine=make_engine,
            limits=limits,
            timeouts=timeouts or ConnectionTimeouts(),
            memory=memory or BodyMemory(),
            slots=slots,
            http2=Http2Limits(streams=limits.streams, told_fields=limits.fields),
            ended=EndedConnections(clock),
            deadlines=watch_calls(clock),
        )
        self._loop = LoopingCall(self._sweep)
        self._loop.clock = clock

    def doStart(self) -> None:
        """Begin to watch over connections."""
        super().doStart()  # type: ignore[no-untyped-call]  # Twisted's
        if not self._loop.running:
            self._loop.start(SWEEP, now=False)

    def stopFactory(self) -> None:
        """Ask clients to begin no more calls, for nobody listens any more; those in hand go on."""
        for connection in list(self.listener.open):
            connection.finish()

    def buildProtocol(self, addr: IAddress | None) -> RpcConnection:
        """Return a connection for the client at ``addr``; one over a limit is told so by its calls."""
        ordinal = self._count
        self._count += 1
        return RpcConnection(self.listener, self.listener.connections.refusal(host_of(addr)), ordinal)

    def _sweep(self) -> None:
        """Look at every connection; the last look is when nobody listens and all have left."""
        now = self.listener.clock.seconds()
        for connection in list(self.listener.open):
            connection.sweep(now)
        if not self.numPorts and not self.listener.open:
            self._loop.stop()
