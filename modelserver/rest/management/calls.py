"""What the operations of the management API share: they read parameters, work to the end, and answer."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.management.call_parameters import Fields, Parameter
from modelserver.rest.parameters import read_fields, read_query
from modelserver.rest.reply import KleinResponder

_log = Logger()
_T = TypeVar("_T")


@frozen(eq=False)
class Calls:
    """
    Reads the parameters of calls, and answers them.

    :param strict_parameters: refuse parameters that cannot be read, rather than take the defaults.
    """

    responder: KleinResponder
    strict_parameters: bool = False

    def fields(self, request: Request, parameters: Iterable[Parameter]) -> Fields:
        """Read parameters from the query."""
        return self._known(Fields(read_query(_query(request)), self.strict_parameters), parameters)

    def fields_with_body(self, request: Request, parameters: Iterable[Parameter]) -> Fields:
        """Read parameters from the query, or from a body that has them."""
        content_type = request.getHeader(b"content-type") or b""
        read = read_fields(_query(request), content_type, body_of_call(request), self.strict_parameters)
        return self._known(read, parameters)

    def answer(self, request: Request, reply: Reply, fields: Fields | None = None) -> bytes:
        """Return the body of a reply, with a warning for each parameter that was replaced by its default."""
        for name in fields.ignored if fields is not None else ():
            _log.warn("Parameter {name} could not be read; its default was used", name=name)
            warning = b'299 - "Parameter %b could not be read; its default was used."' % name.encode("ascii")
            reply = reply._replace(headers=(*reply.headers, (b"warning", warning)))
        return self.responder.render(request, reply)

    def _known(self, fields: Fields, parameters: Iterable[Parameter]) -> Fields:
        return fields.known_to(self.responder.dialect.name, parameters)


def uninterrupted(work: Coroutine[Any, Any, _T]) -> Deferred[_T]:
    """Run work to its end; a caller that cancels the Deferred only stops waiting."""
    waiting: Deferred[_T] = Deferred()

    def fail(failure: Failure) -> None:
        if waiting.called:
            _log.warn("Failed after its client had left: {error}", error=str(failure.value))
        waiting.errback(failure)

    Deferred.fromCoroutine(work).addCallbacks(waiting.callback, fail)
    return waiting


def body_of_call(request: Request) -> bytes:
    """Return the body of a request that was read as a whole."""
    # The connection has checked its size: BufferedRequest.
    body: bytes = b"" if request.content is None else request.content.read()
    return body


def _query(request: Request) -> bytes:
    query: bytes = request.uri.partition(b"?")[2]
    return query
