"""What the connections of one listener share."""

from __future__ import annotations

from collections.abc import Callable

from twisted.python.failure import Failure
from twisted.web.server import Site

from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.chunked import Turns
from modelserver.http1.head_cache import HeadCache
from modelserver.http1.states import ConnectionLimits, RequestHandler
from modelserver.language.attributes import define


@define(eq=False)
class ListenerContext:
    """
    What the connections of one listener share.

    :param run_soon: runs something in the reactor's next turn.
    :param connections: counts the connections, and says which limit one more is over.
    :param log_failure: told of defects of the server.
    :param memory: what the bodies of requests may take together.
    :param turns: shares the reactor among chunked bodies.
    :param site: answers the requests that Twisted Web reads.
    """

    handler: RequestHandler
    run_soon: Callable[[Callable[[], None]], object]
    connections: ConnectionLimits
    log_failure: Callable[[Failure], None]
    memory: BodyMemory
    heads: HeadCache
    turns: Turns
    site: Site
