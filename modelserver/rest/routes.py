"""The one table of routes: it drives Klein, the OpenAPI documents, access control and the tests."""

from __future__ import annotations

from collections.abc import Collection

from modelserver.rest.dashboard.routes import DASHBOARD_ROUTES
from modelserver.rest.inference.routes import INFERENCE_ROUTES
from modelserver.rest.management.repository_routes import REPOSITORY_ROUTES
from modelserver.rest.management.routes import MANAGEMENT_ROUTES
from modelserver.rest.management.workflow_routes import WORKFLOW_ROUTES
from modelserver.rest.route import ANY_METHOD, Access, ListenerRole, Route


def _description(operation: str, path: str, methods: tuple[str, ...], is_deprecated: bool) -> Route:
    return Route(
        operation=operation,
        methods=methods,
        path=path,
        listeners=frozenset(ListenerRole),
        access=Access.OPEN,
        description="Describe the routes of this listener as an OpenAPI document.",
        answers={200: "OpenApi"},
        refusals=(405,),
        is_deprecated=is_deprecated,
        only_reads=True,
    )


ROUTES: tuple[Route, ...] = (
    _description("apiDescription", "/", ("OPTIONS",), is_deprecated=False),
    _description("api-description", "/api-description", (*ANY_METHOD, "OPTIONS"), is_deprecated=True),
    *MANAGEMENT_ROUTES,
    *WORKFLOW_ROUTES,
    *REPOSITORY_ROUTES,
    *INFERENCE_ROUTES,
    *DASHBOARD_ROUTES,
)


def select(
    listeners: Collection[ListenerRole], dialect: str, features: Collection[str] = ()
) -> tuple[Route, ...]:
    """
    Return the routes of one port.

    :param listeners: the roles of the port.
    :param features: the names of the features that are switched on.
    """
    return tuple(
        route
        for route in ROUTES
        if (not route.listeners.isdisjoint(listeners) or _is_guest(route, listeners, features))
        and dialect in route.dialects
        and (not route.feature or route.feature in features)
    )


def _is_guest(route: Route, listeners: Collection[ListenerRole], features: Collection[str]) -> bool:
    """Return whether an inference listener serves a route that belongs elsewhere."""
    return ListenerRole.INFERENCE in listeners and route.at_inference in features
