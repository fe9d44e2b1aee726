"""A listener's factory of connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import ServerFactory
from twisted.python.failure import Failure

from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.chunked import Turns
from modelserver.http1.connection import Connection
from modelserver.http1.head_cache import HeadCache
from modelserver.http1.listener_context import ListenerContext
from modelserver.http1.states import ConnectionLimits, RequestHandler, host_of

if TYPE_CHECKING:
    from twisted.web.resource import IResource
    from twisted.web.server import Site


class ConnectionFactory(ServerFactory):
    """
    Makes the connections of one listener.

    :param make_resource: makes what answers the requests that Twisted Web reads, at the first of them: Klein
        takes a millisecond for each route, and what is asked for predictions alone is never asked for any.
    :param run_soon: runs something in the reactor's next turn.
    :param log_failure: told of defects of the server.
    :param memory: what the bodies of requests may take together; None: without a limit.
    """

    noisy = False

    def __init__(
        self,
        make_resource: Callable[[], IResource],
        handler: RequestHandler,
        run_soon: Callable[[Callable[[], None]], object],
        connections: ConnectionLimits,
        log_failure: Callable[[Failure], None],
        memory: BodyMemory | None = None,
    ) -> None:
        self.listener = ListenerContext(
            handler=handler,
            run_soon=run_soon,
            connections=connections,
            log_failure=log_failure,
            memory=memory or BodyMemory(),
            heads=HeadCache(handler),
            turns=Turns(run_soon),
            make_site=partial(_make_site, make_resource),
        )

    def buildProtocol(self, addr: IAddress | None) -> Connection:
        """Return a connection for the client at ``addr``; one over a limit is told of it by its answer."""
        return Connection(self.listener, self.listener.connections.refusal(host_of(addr)))


def _make_site(make_resource: Callable[[], IResource]) -> Site:
    from modelserver.http1.twisted_web import BridgeSite

    return BridgeSite(make_resource())
