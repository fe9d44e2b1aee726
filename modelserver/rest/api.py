"""A port's API: the routes of the table that it serves, put together with their handlers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from attrs import define, field
from klein import Klein
from twisted.web.server import Request

from modelserver.interfaces import Reply
from modelserver.rest.binding import ApiResource, Handler, bind
from modelserver.rest.dialects.bodies import pretty
from modelserver.rest.openapi import document
from modelserver.rest.reply import Responder
from modelserver.rest.route import Route

if TYPE_CHECKING:
    from modelserver.rest.inference.front import Authorizer


@define(eq=False)
class Api:
    """
    Everything that one port answers; the descriptions of its routes are its own.

    :param routes: what the port serves, from ``routes.select``.
    :param handlers: by operation, of all APIs that share the port.
    :param strict_parameters: for the description.
    :raises LookupError: a route has no handler.
    """

    routes: tuple[Route, ...]
    handlers: Mapping[str, Handler]
    gate: Authorizer
    responder: Responder
    strict_parameters: bool = False
    app: Klein = field(factory=Klein, init=False)
    _description: bytes = field(default=b"", init=False)

    def __attrs_post_init__(self) -> None:
        own: Mapping[str, Handler] = {"apiDescription": self._describe, "api-description": self._describe}
        bind(self.app, self.routes, {**own, **self.handlers}, self.gate)
        self.app.handle_errors(Exception)(self.responder.refuse)

    def resource(self) -> ApiResource:
        """What a site serves."""
        return ApiResource(self.app, self.responder)

    def _describe(self, request: Request) -> bytes:
        if not self._description:
            described = document(self.routes, self.responder.dialect.name, self.strict_parameters)
            self._description = pretty(described)
        return self.responder.render(request, Reply(200, self._description))
