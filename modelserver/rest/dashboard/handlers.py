"""Answers the rows of the dashboard."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twisted.internet.defer import Deferred
from twisted.web.server import Request
from werkzeug.exceptions import MethodNotAllowed

from modelserver.errors import AccessDenied, RouteNotFound
from modelserver.interfaces import Reply
from modelserver.jobs import Inputs
from modelserver.language.attributes import frozen
from modelserver.management.descriptions import describe_version
from modelserver.rest.answer_headers import prepare
from modelserver.rest.binding import Operation
from modelserver.rest.dashboard.assets import KEPT_BY_BROWSERS, PAGE, PROTECTION
from modelserver.rest.dashboard.details import details
from modelserver.rest.dashboard.parts import DashboardParts
from modelserver.rest.dashboard.state import encode
from modelserver.rest.inference.twisted_web import TwistedWebResponder, body_of
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import Access
from modelserver.security.authorization import Authorizer
from modelserver.sources.catalogue import archives_in

_JSON = (b"content-type", b"application/json")
_FOUND = 302
_NOT_MODIFIED = 304
_PASSED_ON = (b"content-type", b"accept")
"""The fields of a request for a prediction that its handler gets: the key of the page is not among them."""


@frozen(eq=False)
class DashboardApi:
    """
    Answers the page, and what it asks for.

    :param gate: decides whether the key of an open page is still good.
    """

    parts: DashboardParts
    responder: KleinResponder
    gate: Authorizer

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        return {
            "dashboardHome": self.lead_here,
            "dashboard": self.page,
            "dashboardAsset": self.asset,
            "dashboardStream": self.stream,
            "dashboardStore": self.list_store,
            "dashboardConfiguration": self.configuration,
            "dashboardVersion": self.describe,
            "dashboardPrediction": self.predict,
        }

    # The files of the page.

    def lead_here(self, request: Request) -> bytes:
        """Send a browser to the page; anybody else is told what this path is for, as the peers tell."""
        if b"text/html" not in (request.getHeader(b"accept") or b"").lower():
            raise MethodNotAllowed(valid_methods=["OPTIONS"])
        return self._send(request, Reply(_FOUND, b"", headers=((b"location", b"/dashboard"),)))

    def page(self, request: Request) -> bytes:
        """Answer with the page."""
        return self.asset(request, PAGE)

    def asset(self, request: Request, file: str) -> bytes:
        """
        Answer with a file of the page, or that the browser has it.

        :raises RouteNotFound: the page has no such file.
        """
        found = self.parts.assets.get(file)
        if found is None:
            raise RouteNotFound(request.path.decode("latin-1"))
        headers = ((b"etag", found.tag), (b"content-type", found.kind))
        if found.is_known(request.getHeader(b"if-none-match")):
            body = self._send(request, Reply(_NOT_MODIFIED, b"", headers=headers[:1]))
        else:
            body = self._send(request, Reply(200, found.body, headers=headers))
        fields = request.responseHeaders
        fields.setRawHeaders(b"cache-control", [KEPT_BY_BROWSERS])
        for name in (b"pragma", b"expires"):
            fields.removeHeader(name)
        return body

    # What the page asks for.

    def stream(self, request: Request) -> bytes | Deferred[bytes]:
        """
        Answer with an event now and every second, until the client leaves.

        :raises ServerFull: too many pages are open.
        """
        viewers, authorization = self.parts.viewers, request.getHeader(b"authorization")
        viewers.check_room()
        self._send(request, Reply(200, b"", headers=((b"content-type", b"text/event-stream"),)))
        request.responseHeaders.removeHeader(b"content-length")
        if request.method == b"HEAD":
            return b""
        # Proxies that buffer answers would keep the events.
        request.responseHeaders.setRawHeaders(b"x-accel-buffering", [b"no"])
        return viewers.admit(request, self._still_allows(authorization))

    def _still_allows(self, authorization: bytes | None) -> Callable[[], bool]:
        def is_allowed() -> bool:
            try:
                self.gate.check(Access.MANAGEMENT.value, authorization)
            except AccessDenied:
                return False
            return True

        return is_allowed

    async def list_store(self, request: Request) -> bytes:
        """Answer with the names of the archives in the model store."""
        names = await self.parts.in_thread(archives_in, self.parts.store)
        return self._send_json(request, {"archives": names})

    def configuration(self, request: Request) -> bytes:
        """Answer with every key of the configuration: its value, and where that comes from."""
        rows = [[each.name, each.value, each.origin, each.meaning] for each in self.parts.configuration]
        return self._send_json(request, {"keys": rows})

    def describe(self, request: Request, model_name: str, model_version: str) -> bytes:
        """
        Answer with a version's settings, the failures of its workers, and its last minutes.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        """
        registry, sources = self.parts.registry, self.parts.viewers.sources
        found = registry.get(model_name, model_version)
        described = describe_version(found, registry.is_default(found))
        return self._send_json(request, details(described, sources))

    def predict(self, request: Request, model_name: str, model_version: str) -> Deferred[bytes]:
        """
        Ask a version, as the inference listener would.

        :raises ServingError: the request is refused.
        """
        lines = [b"%b: %b\r\n" % (name, value) for name in _PASSED_ON if (value := request.getHeader(name))]
        inputs = Inputs(b"".join(lines), b"", body_of(request))
        cors = b"".join(b"%b: %b\r\n" % field for field in PROTECTION)
        observer = TwistedWebResponder(request, self.responder.dialect, cors)
        job = self.parts.inference.predict(model_name, model_version, inputs, observer)
        observer.when_cancelled(job.withdraw)
        return observer.answer

    # Steps.

    def _send_json(self, request: Request, value: object) -> bytes:
        return self._send(request, Reply(200, encode(value).encode(), headers=(_JSON,)))

    def _send(self, request: Request, reply: Reply) -> bytes:
        """Set the head of an answer; without headers of CORS, for no other origin has to do with it."""
        if request.channel is None:  # the client is gone
            return b""
        return prepare(request, reply, self.responder.new_id(), PROTECTION)
