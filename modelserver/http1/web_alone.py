"""
Twisted Web, loaded without what none of it uses here, and with what Klein loads of Twisted otherwise.

Everything that a connection imports of Twisted Web comes from here: it is loaded with the first request that
is no plain prediction.
"""

from __future__ import annotations

from modelserver.system.left_out import without

__all__ = ("HTTPChannel", "HTTPRequest", "IRequest", "IResource", "Request", "Site")

# Twisted Web loads h2 for its HTTP/2, which none of our listeners offers; gRPC has its own use of it.
with without("h2"), without("OpenSSL"):
    from twisted.internet import endpoints  # noqa: F401  # for Klein
    from twisted.web.http import HTTPChannel
    from twisted.web.http import Request as HTTPRequest
    from twisted.web.iweb import IRequest
    from twisted.web.resource import IResource
    from twisted.web.server import Request, Site
