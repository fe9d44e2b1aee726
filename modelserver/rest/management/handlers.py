"""The management API: a route parses, calls one use case, and renders one reply."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from modelserver.inference.targets import require_served
from modelserver.interfaces import Dialect, Reply
from modelserver.management.service import Management
from modelserver.rest.binding import Operation
from modelserver.rest.dialects.bodies import pretty
from modelserver.rest.management import parameters as calls
from modelserver.rest.openapi import Descriptions
from modelserver.rest.parameters import Fields, Parameter, read_fields, read_query
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import ListenerRole

_log = Logger()
_T = TypeVar("_T")


@frozen(eq=False)
class ManagementApi:
    """
    Answers the management rows of the table.

    :param descriptions: of the listener's routes.
    :param strict_parameters: refuse parameters that cannot be read, rather than take the defaults.
    """

    management: Management
    responder: KleinResponder
    descriptions: Descriptions
    strict_parameters: bool = False

    @property
    def dialect(self) -> Dialect:
        """The dialect of the answers."""
        return self.responder.dialect

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        return {
            "listModels": self.list,
            "registerModel": self.register,
            "describeModel": self.describe,
            "describeAllVersions": self.describe_all,
            "setAutoScale": self.scale,
            "unregisterModel": self.unregister,
            "modelApiDescription": self.describe_routes,
            "version_describeModel": self.describe,
            "version_setAutoScale": self.scale,
            "version_unregisterModel": self.unregister,
            "version_modelApiDescription": self.describe_routes,
            "setDefault": self.set_default,
            "modelReady": self.is_ready,
        }

    async def register(self, request: Request) -> bytes:
        """Register a version of a model."""
        fields = self._known(
            read_fields(
                _query(request),
                request.getHeader(b"content-type") or b"",
                _body(request),
                self.strict_parameters,
            ),
            calls.REGISTER,
        )
        wanted = calls.register_request(fields)
        spec = await uninterrupted(self.management.register(wanted))
        reply = self.dialect.registered(spec.name, spec.version, spec.workers.minimum, wanted.synchronous)
        return self._render(request, reply, fields)

    async def scale(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Change the number of workers of a version."""
        fields = self._fields(request, calls.SCALE)
        wanted = calls.scale_request(model_name, model_version, fields)
        is_complete = await uninterrupted(self.management.scale(wanted))
        reply = self.dialect.scaled(
            wanted.name, wanted.version, wanted.minimum, wanted.synchronous, is_complete
        )
        return self._render(request, reply, fields)

    async def unregister(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Unregister a version."""
        await uninterrupted(self.management.unregister(model_name, model_version))
        return self._render(request, self.dialect.unregistered(model_name))

    async def set_default(self, request: Request, model_name: str, model_version: str) -> bytes:
        """Choose the default version."""
        await self.management.set_default(model_name, model_version)
        return self._render(request, self.dialect.default_set(model_name, model_version))

    async def describe(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Describe one version of a model."""
        fields = self._fields(request, calls.DESCRIBE)
        if fields.boolean(calls.CUSTOMIZED):
            description = await self.management.describe_customized(model_name, model_version, _head(request))
        else:
            description = await self.management.describe(model_name, model_version)
        return self._render(request, self.dialect.described([description]), fields)

    async def describe_all(self, request: Request, model_name: str) -> bytes:
        """Describe every version of a model."""
        return self._render(request, self.dialect.described(await self.management.describe_all(model_name)))

    def list(self, request: Request) -> bytes:
        """List the models."""
        fields = self._fields(request, calls.LIST)
        page = calls.page_request(fields)
        return self._render(
            request, self.dialect.listed(*self.management.list(page.limit, page.offset)), fields
        )

    def is_ready(self, request: Request, model_name: str) -> bytes:
        """Answer KServe whether a model is ready; a colon ends the model's name."""
        name = model_name.partition(":")[0]
        body = {"name": name, "ready": self.management.is_ready(name)}
        return self._render(request, Reply(200, pretty(body)))

    async def describe_routes(
        self, request: Request, model_name: str, model_version: str | None = None
    ) -> bytes:
        """Describe the management routes of a model."""
        require_served(self.management.registry, model_name, model_version)
        description = self.descriptions.of_model(model_name, ListenerRole.MANAGEMENT)
        return self._render(request, Reply(200, description))

    # Steps.

    def _fields(self, request: Request, parameters: Iterable[Parameter]) -> Fields:
        return self._known(Fields(read_query(_query(request)), self.strict_parameters), parameters)

    def _known(self, fields: Fields, parameters: Iterable[Parameter]) -> Fields:
        return fields.known_to(self.dialect.name, parameters)

    def _render(self, request: Request, reply: Reply, fields: Fields | None = None) -> bytes:
        """Return the body of a reply, with a warning for each parameter that was replaced by its default."""
        for name in fields.ignored if fields is not None else ():
            _log.warn("Parameter {name} could not be read; its default was used", name=name)
            warning = b'299 - "Parameter %b could not be read; its default was used."' % name.encode("ascii")
            reply = reply._replace(headers=(*reply.headers, (b"warning", warning)))
        return self.responder.render(request, reply)


def uninterrupted(work: Coroutine[Any, Any, _T]) -> Deferred[_T]:
    """Run work to its end; a caller that cancels the Deferred only stops waiting."""
    waiting: Deferred[_T] = Deferred()

    def fail(failure: Failure) -> None:
        if waiting.called:
            _log.warn("Failed after its client had left: {error}", error=str(failure.value))
        waiting.errback(failure)

    Deferred.fromCoroutine(work).addCallbacks(waiting.callback, fail)
    return waiting


def _body(request: Request) -> bytes:
    # The connection has checked its size: BufferedRequest.
    body: bytes = b"" if request.content is None else request.content.read()
    return body


def _query(request: Request) -> bytes:
    query: bytes = request.uri.partition(b"?")[2]
    return query


def _head(request: Request) -> bytes:
    """Return the client's header lines, without those about a body: a describe has none."""
    lines = [
        b"%b: %b\r\n" % (name, value)
        for name, values in request.requestHeaders.getAllRawHeaders()
        if not name.lower().startswith((b"content-", b"transfer-"))
        for value in values
    ]
    return b"".join(lines)
