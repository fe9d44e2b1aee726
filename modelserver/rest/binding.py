"""Binds routes of the table to a Klein app, behind their access checks, and makes the app a resource."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import cast

from klein import Klein
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.iweb import IRequest
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from modelserver.errors import BadRequest
from modelserver.http1.twisted_web import BufferedRequest, trace_of
from modelserver.interfaces import Reply
from modelserver.rest.reply import INVALID_MESSAGE, KleinResponder
from modelserver.rest.route import Route
from modelserver.rest.tracing import route_found
from modelserver.security.authorization import Authorizer
from modelserver.security.page_guard import PageGuard

Operation = Callable[..., bytes | Awaitable[bytes]]
"""Takes the request and the variables of the path, and returns the body of the answer."""

_VARIABLE = re.compile(r"\{(\w+)\}")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def bind(
    app: Klein,
    routes: Iterable[Route],
    operations: Mapping[str, Operation],
    gate: Authorizer,
    pages: PageGuard | None = None,
) -> None:
    """
    Serve routes with an app.

    :param operations: the functions that answer, by operationId.
    :param gate: asked before each call of an operation, unless the route is open.
    :param pages: asked before each call that changes the server or is private; None: web pages may make such
        calls.
    :raises LookupError: a route has no function that answers it.
    """
    # Without this, werkzeug answers a doubled slash with a redirect.
    app.url_map.merge_slashes = False
    for route in routes:
        operation = operations.get(route.operation)
        if operation is None:
            raise LookupError(f"The route {route.operation} has no operation.")
        register = app.route(klein_path(route.path), methods=list(route.methods), endpoint=route.operation)
        register(_guarded(route, operation, gate, pages))


def klein_path(path: str) -> str:
    """Return a path of the table in the syntax of Klein."""
    return _VARIABLE.sub(lambda match: "<path:rest>" if match[1] == "rest" else f"<{match[1]}>", path)


def _guarded(route: Route, operation: Operation, gate: Authorizer, pages: PageGuard | None) -> Operation:
    key_kind = route.key_kind

    def guarded(request: Request, **variables: str) -> bytes | Awaitable[bytes]:
        trace = trace_of(request)
        if trace is not None:
            route_found(trace, cast(BufferedRequest, request).channel.transport.head, route.path)
        if key_kind is not None:
            gate.check(key_kind, request.getHeader(b"authorization"))
        if pages is not None and route.is_guarded(request.method.decode("latin-1")):
            lines = request.requestHeaders.getRawHeaders
            pages.check(request.getHeader(b"host"), lines(b"origin", ()), lines(b"sec-fetch-site", ()))
        return operation(request, **variables)

    guarded.__name__ = route.operation
    guarded.__doc__ = route.description
    return guarded


class ApiResource(KleinResource):
    """
    A Klein app that reads paths as the peers do, and answers malformed requests in the dialect's words.

    A path is percent-decoded, then split at slashes; empty segments at its end do not count.

    :param any_case: first segments of paths that may be written in any case.
    """

    def __init__(self, app: Klein, responder: KleinResponder, any_case: Collection[bytes] = ()) -> None:
        super().__init__(app)
        self._responder = responder
        self._any_case = frozenset(any_case)

    def render(self, request: IRequest) -> bytes | int:  # type: ignore[override]  # Klein forgets NOT_DONE_YET
        """Let the app answer a request that is well-formed; refuse any other."""
        request = cast(Request, request)  # whatever else implements the interface is no part of Twisted Web
        segments = list(request.postpath or ())
        if not _is_sound(request, segments):
            return self._refuse(request)
        if _is_preflight(request):
            return self._responder.render(request, Reply(200, b"", headers=()))
        while len(segments) > 1 and not segments[-1]:
            segments.pop()
        if segments and segments[0].lower() in self._any_case:
            segments[0] = segments[0].lower()
        request.postpath = segments
        try:
            return cast(int, super().render(request))
        except HTTPException:  # the Host header cannot be one
            return self._refuse(request)

    def _refuse(self, request: Request) -> bytes:
        return self._responder.refuse(request, Failure(BadRequest(INVALID_MESSAGE)))


def _is_preflight(request: Request) -> bool:
    """
    Return whether a browser asks if a page of another origin may send a request.

    It cannot have a key with it, and is answered by the headers of every answer (CORS), whatever its path is.
    """
    return request.method == b"OPTIONS" and all(
        request.requestHeaders.hasHeader(name) for name in (b"origin", b"access-control-request-method")
    )


def _is_sound(request: Request, segments: Iterable[bytes]) -> bool:
    path = b"/".join(segments)
    try:
        path.decode("utf-8")
        request.getRequestHostname().decode("ascii")
    except UnicodeDecodeError:
        return False
    return _METHOD.fullmatch(request.method) is not None and _CONTROL.search(path) is None
