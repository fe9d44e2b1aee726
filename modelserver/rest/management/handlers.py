"""The management API: a route parses, calls one use case, and renders one reply."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.server import Request

from modelserver.inference.targets import require_served
from modelserver.interfaces import Dialect, Reply
from modelserver.language.attributes import frozen
from modelserver.management import parameters as calls
from modelserver.management.service import Management
from modelserver.rest.binding import Operation
from modelserver.rest.dialects.json_text import pretty
from modelserver.rest.management.calls import Calls, uninterrupted
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import ListenerRole


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
    def calls(self) -> Calls:
        """Reads requests, and answers them."""
        return Calls(self.responder, self.strict_parameters)

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
        fields = self.calls.fields_with_body(request, calls.REGISTER)
        wanted = calls.register_request(fields)
        spec = await uninterrupted(self.management.register(wanted))
        reply = self.dialect.registered(spec.name, spec.version, spec.workers.minimum, wanted.synchronous)
        return self.calls.answer(request, reply, fields)

    async def scale(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Change the number of workers of a version."""
        fields = self.calls.fields(request, calls.SCALE)
        wanted = calls.scale_request(model_name, model_version, fields)
        is_complete = await uninterrupted(self.management.scale(wanted))
        reply = self.dialect.scaled(
            wanted.name, wanted.version, wanted.minimum, wanted.synchronous, is_complete
        )
        return self.calls.answer(request, reply, fields)

    async def unregister(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Unregister a version."""
        await uninterrupted(self.management.unregister(model_name, model_version))
        return self.calls.answer(request, self.dialect.unregistered(model_name))

    async def set_default(self, request: Request, model_name: str, model_version: str) -> bytes:
        """Choose the default version."""
        await self.management.set_default(model_name, model_version)
        return self.calls.answer(request, self.dialect.default_set(model_name, model_version))

    async def describe(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Describe one version of a model."""
        fields = self.calls.fields(request, calls.DESCRIBE)
        if fields.boolean(calls.CUSTOMIZED):
            description = await self.management.describe_customized(model_name, model_version, _head(request))
        else:
            description = await self.management.describe(model_name, model_version)
        return self.calls.answer(request, self.dialect.described([description]), fields)

    async def describe_all(self, request: Request, model_name: str) -> bytes:
        """Describe every version of a model."""
        return self.calls.answer(
            request, self.dialect.described(await self.management.describe_all(model_name))
        )

    def list(self, request: Request) -> bytes:
        """List the models."""
        fields = self.calls.fields(request, calls.LIST)
        page = calls.page_request(fields)
        return self.calls.answer(
            request, self.dialect.listed(*self.management.list(page.limit, page.offset)), fields
        )

    def is_ready(self, request: Request, model_name: str) -> bytes:
        """Answer KServe whether a model is ready; a colon ends the model's name."""
        name = model_name.partition(":")[0]
        body = {"name": name, "ready": self.management.is_ready(name)}
        return self.calls.answer(request, Reply(200, pretty(body)))

    async def describe_routes(
        self, request: Request, model_name: str, model_version: str | None = None
    ) -> bytes:
        """Describe the management routes of a model."""
        require_served(self.management.registry, model_name, model_version)
        description = self.descriptions.of_model(model_name, ListenerRole.MANAGEMENT)
        return self.calls.answer(request, Reply(200, description))


def _head(request: Request) -> bytes:
    """Return the client's header lines, without those about a body: a describe has none."""
    lines = [
        b"%b: %b\r\n" % (name, value)
        for name, values in request.requestHeaders.getAllRawHeaders()
        if not name.lower().startswith((b"content-", b"transfer-"))
        for value in values
    ]
    return b"".join(lines)
