"""Turns replies, and errors of all kinds, into what Klein routes return."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from modelserver.errors import (
    BadRequest,
    InternalError,
    MethodNotAllowed,
    RouteNotFound,
    ServingError,
)
from modelserver.http1.twisted_web import trace_of
from modelserver.interfaces import Dialect, Reply
from modelserver.language.attributes import frozen
from modelserver.rest.answer_headers import Headers, prepare

INVALID_MESSAGE = "Invalid HTTP message."

_log = Logger()


@frozen
class KleinResponder:
    """
    Turns replies, and errors of all kinds, into what a Klein route returns.

    :param new_id: makes request ids, as UUIDs are written.
    :param headers: for every answer (CORS).
    """

    dialect: Dialect
    new_id: Callable[[], str]
    headers: Headers = ()

    def render(self, request: Request, reply: Reply) -> bytes:
        """Set the status and headers of a reply on the request, and return the body."""
        if request.channel is None:  # the client is gone, and so is what it would be written to
            return b""
        return prepare(request, reply, self.new_id(), self.headers)

    def refuse(self, request: IRequest, failure: Failure) -> bytes:
        """Return the body for an exception of a route; for ``Klein.handle_errors``."""
        if failure.check(CancelledError):  # the client is gone
            return b""
        # What else implements the interface is no part of Twisted Web.
        trace = trace_of(request)
        reply = self.reply_to(failure) if trace is None else trace.run(self.reply_to, failure)
        return self.render(cast(Request, request), reply)

    def reply_to(self, failure: Failure) -> Reply:
        """Return the reply for an error; log an error that is not meant for clients."""
        error = failure.value
        if isinstance(error, ServingError):
            return self.dialect.failed(error)
        if isinstance(error, NotFound):
            return self.dialect.failed(RouteNotFound())
        if isinstance(error, WrongMethod):
            allowed = ", ".join(sorted(error.valid_methods or ())).encode("ascii")
            reply = self.dialect.failed(MethodNotAllowed())
            return reply._replace(headers=(*reply.headers, (b"allow", allowed)))
        if isinstance(error, HTTPException):
            return self.dialect.failed(BadRequest(INVALID_MESSAGE))
        _log.failure("A request ended in an error of the server", failure=failure)
        return self.dialect.failed(InternalError())
