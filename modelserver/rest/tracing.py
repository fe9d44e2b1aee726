"""The spans of HTTP requests, by OpenTelemetry's conventions, whoever reads and answers these."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import cast

from attrs import field
from twisted.python.failure import Failure
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from modelserver.http1.head import RequestHead
from modelserver.http1.twisted_web import BufferedRequest
from modelserver.language.attributes import frozen
from modelserver.protocol.frames import show_id
from modelserver.system.bounded_cache import Memo
from modelserver.traces import (
    AnswerTold,
    AttributeValue,
    FixedAttributes,
    Told,
    Trace,
    Tracer,
    server_named,
)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY"))
UNTRACED = frozenset((b"ping", b"metrics", b"live", b"ready", b"dashboard"))
"""First segments of what is asked every few seconds, of the server's own state."""
TRACEPARENT, TRACESTATE = b"traceparent", b"tracestate"
FIRST_SERVER_ERROR = 500
_LONGEST = 256
MOST_REMEMBERED = 256
_Asked = tuple[tuple[str, str, str], bytes | None, bytes | None, str]
"""Method, target and protocol of a request, its ``Host``, what its client is, and its route."""


@frozen(eq=False)
class HttpTracing:
    """
    Traces the requests of one listener.

    :param scheme: ``http`` or ``https``.
    """

    tracer: Tracer
    scheme: str
    _told: Memo[_Asked, Told] = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_told", Memo(self._tell, MOST_REMEMBERED))

    def told(self, head: RequestHead, template: str = "") -> Told:
        """
        Return the name of a request's span, and what is said of the request.

        :param template: of its route; empty: it is not known yet.
        """
        get = head.fields.get
        asked = head.shown, get(b"host"), get(b"user-agent"), template
        return self._told[asked] if len(head.target) <= _LONGEST else self._tell(asked)

    def resource(self, resource: IResource) -> IResource:
        """Return what serves the same, with a span for each request."""
        return cast(IResource, TracedResource(resource, self))

    def begin_request(self, request: Request) -> Trace | None:
        """Begin the span of a request that Twisted Web has read; some are never traced."""
        if (request.postpath or [b""])[0] in UNTRACED:
            return None
        buffered = cast(BufferedRequest, request)
        bridge = buffered.channel.transport
        get = bridge.head.fields.get
        trace = self.tracer.begin(get(TRACEPARENT), get(TRACESTATE), bridge.since)
        if trace is not None:
            name, told = self.told(bridge.head)
            trace.named(name)
            trace.note(told)
            buffered.trace = trace
            request.notifyFinish().addErrback(_left, trace)
        return trace

    def _tell(self, asked: _Asked) -> Told:
        (method, target, protocol), *names, template = asked
        found: dict[str, AttributeValue] = {
            "http.request.method": _method(method),
            "url.path": target.partition("?")[0][:_LONGEST],
            "url.scheme": self.scheme,
            "network.protocol.version": protocol.rpartition("/")[2],
        }
        if found["http.request.method"] != method:
            found["http.request.method_original"] = method
        host, agent = (None if name is None else name.decode("latin-1")[:_LONGEST] for name in names)
        if host is not None:
            found |= server_named(host)
        if agent is not None:
            found["user_agent.original"] = agent
        if not template:
            return _shown(method), FixedAttributes(found)
        return f"{_shown(method)} {template}", FixedAttributes({**found, "http.route": template})


def route_found(trace: Trace, head: RequestHead, template: str) -> None:
    """Name a span by its route: one of few names."""
    trace.named(f"{_shown(head.shown[0])} {template}")
    trace.note({"http.route": template})


def tell_answer(facts: tuple[int, str, bytes]) -> AnswerTold:
    """Return what is said of an answer: of its status, to this connection, to the request with this id."""
    code, remote, request_id = facts
    return _answer_attributes(code, remote), {"modelserver.request.id": show_id(request_id).decode()}


@lru_cache(maxsize=MOST_REMEMBERED)
def _answer_attributes(code: int, remote: str) -> FixedAttributes:
    """Return what is said of an answer with this status to this connection; the same object for the same."""
    return _answer_to(code, remote.removeprefix("/").rpartition(":")[0] or remote)


@lru_cache(maxsize=MOST_REMEMBERED)
def _answer_to(code: int, address: str) -> FixedAttributes:
    found: dict[str, AttributeValue] = {"http.response.status_code": code, "client.address": address}
    if code >= FIRST_SERVER_ERROR:
        found["error.type"] = str(code)
    return FixedAttributes(found)


def _method(method: str) -> str:
    return method if method in METHODS else "_OTHER"


def _shown(method: str) -> str:
    """Return what the name of a span begins with."""
    return method if method in METHODS else "HTTP"


def _left(failure: Failure, trace: Trace) -> None:
    trace.note({"error.type": "cancelled"})
    trace.end("The client has left.")


class TracedResource(Resource):
    """
    What a site serves, with a span for each request.

    A request that is told its route (``rest.binding``) has that in its span.
    """

    isLeaf = True

    def __init__(self, resource: IResource, tracing: HttpTracing) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        self._resource = resource
        self._tracing = tracing

    def render(self, request: Request) -> bytes | int:
        """Have a request answered."""
        trace = self._tracing.begin_request(request)
        answer = cast(Callable[[Request], bytes | int], self._resource.render)
        return answer(request) if trace is None else trace.run(answer, request)
