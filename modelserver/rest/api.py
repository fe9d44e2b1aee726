"""A port's API: the routes of the table that it serves, each with the function that answers it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field
from klein import Klein
from twisted.web.server import Request

from modelserver.interfaces import Reply
from modelserver.language.attributes import define
from modelserver.rest.binding import ApiResource, Operation, bind
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.security.authorization import Authorizer
from modelserver.security.page_guard import PageGuard


@define(eq=False)
class Api:
    """
    Everything that one port answers; it describes its routes itself.

    :param descriptions: of the routes that the port serves, from ``routes.select``.
    :param operations: the functions that answer, by operationId, of all APIs that share the port.
    :param pages: refuses web pages of other origins the calls that change the server, or None.
    :raises LookupError: a route has no function that answers it.
    """

    descriptions: Descriptions
    operations: Mapping[str, Operation]
    gate: Authorizer
    responder: KleinResponder
    pages: PageGuard | None = None
    app: Klein = field(factory=Klein, init=False)

    def __attrs_post_init__(self) -> None:
        own: Mapping[str, Operation] = {"apiDescription": self._describe, "api-description": self._describe}
        bind(self.app, self.descriptions.routes, {**own, **self.operations}, self.gate, self.pages)
        self.app.handle_errors(Exception)(self.responder.refuse)

    def resource(self) -> ApiResource:
        """Return the resource that a site serves."""
        any_case = [
            route.first_segment.encode()
            for route in self.descriptions.routes
            if route.prediction is not None and route.prediction.ignores_case
        ]
        return ApiResource(self.app, self.responder, any_case)

    def _describe(self, request: Request) -> bytes:
        return self.responder.render(request, Reply(200, self.descriptions.of_listener()))
