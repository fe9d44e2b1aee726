"""A listener's factory of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import IResource
from twisted.web.server import Site

from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.chunked import Turns
from modelserver.http1.connection import Channel
from modelserver.http1.head_cache import HeadMemo
from modelserver.http1.states import ConnectionLimits, Front, host_of
from modelserver.http1.twisted_web_request import BufferedRequest


class ChannelSite(Site):
    """A listener's factory: what its channels share."""

    noisy = False
    protocol = Channel  # type: ignore[assignment]  # Twisted's own type is private

    def __init__(
        self,
        resource: IResource,
        front: Front,
        run_soon: Callable[[Callable[[], None]], object],
        connections: ConnectionLimits,
        log_failure: Callable[[Failure], None],
        memory: BodyMemory | None = None,
    ) -> None:
        super().__init__(resource, requestFactory=BufferedRequest)
        self.timeOut = None
        self.front = front
        self.run_soon = run_soon
        self.connections = connections
        self.log_failure = log_failure
        self.memory = memory or BodyMemory()
        self.heads = HeadMemo(front)
        self.turns = Turns(run_soon)
        self._parsePOSTFormSubmission = False

    def buildProtocol(self, addr: IAddress | None) -> Channel:  # type: ignore[override]  # as above
        """A channel for a new connection."""
        channel = cast(Channel, super().buildProtocol(addr))
        channel.site = self
        channel.over = self.connections.refusal(host_of(addr))
        return channel

    def log(self, request: HTTPRequest) -> None:
        """A request that Twisted Web had is answered."""
        (shown,) = request.responseHeaders.getRawHeaders(b"x-request-id", [b""])
        request_id = bytes.fromhex(shown.replace(b"-", b"").decode())
        cast(Channel, request.channel).answered_by_twisted_web(request.code, request_id)
