"""What the connections of one listener share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import field
from twisted.python.failure import Failure

from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.chunked import Turns
from modelserver.http1.head_cache import HeadCache
from modelserver.http1.states import ConnectionLimits, RequestHandler
from modelserver.language.attributes import define

if TYPE_CHECKING:
    from twisted.web.server import Site


@define(eq=False)
class ListenerContext:
    """
    What the connections of one listener share.

    :param run_soon: runs something in the reactor's next turn.
    :param connections: counts the connections, and says which limit one more is over.
    :param log_failure: told of defects of the server.
    :param memory: what the bodies of requests may take together.
    :param turns: shares the reactor among chunked bodies.
    :param make_site: makes what answers the requests that Twisted Web reads, at the first of them.
    """

    handler: RequestHandler
    run_soon: Callable[[Callable[[], None]], object]
    connections: ConnectionLimits
    log_failure: Callable[[Failure], None]
    memory: BodyMemory
    heads: HeadCache
    turns: Turns
    make_site: Callable[[], Site]
    _site: Site | None = field(default=None, init=False)

    @property
    def site(self) -> Site:
        """Return what answers the requests that Twisted Web reads."""
        if self._site is None:
            self._site = self.make_site()
        return self._site
