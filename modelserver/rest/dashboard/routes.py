"""The rows of the dashboard, which is on the management listener."""

from __future__ import annotations

from modelserver.rest.route import DASHBOARD, Access, ListenerRole, Route


def _route(operation: str, method: str, path: str, description: str, access: Access) -> Route:
    return Route(
        operation=operation,
        methods=(method,),
        path=path,
        listeners=frozenset({ListenerRole.MANAGEMENT}),
        access=access,
        description=description,
        answers={},
        feature=DASHBOARD,
        documented=(),
        is_private=access is Access.MANAGEMENT,
    )


def _open(operation: str, path: str, description: str) -> Route:
    """Return the row of a file, which is the same for everybody and tells nothing of this server."""
    return _route(operation, "GET", path, description, Access.OPEN)


def _own(operation: str, method: str, path: str, description: str) -> Route:
    """Return the row of a call that only the page makes, with the management key where keys are in use."""
    return _route(operation, method, path, description, Access.MANAGEMENT)


DASHBOARD_ROUTES: tuple[Route, ...] = (
    _open("dashboardHome", "/", "Lead browsers to the dashboard."),
    _open("dashboard", "/dashboard", "The dashboard, a page for people."),
    _open("dashboardAsset", "/dashboard/assets/{file}", "A file of the dashboard's page."),
    _own("dashboardStream", "GET", "/dashboard/stream", "The server's state, once a second."),
    _own("dashboardStore", "GET", "/dashboard/store", "The archives that lie in the model store."),
    _own("dashboardConfiguration", "GET", "/dashboard/configuration", "The configuration in force."),
    _own(
        "dashboardVersion",
        "GET",
        "/dashboard/versions/{model_name}/{model_version}",
        "A version with its settings, its failures, and its last minutes.",
    ),
    _own(
        "dashboardPrediction",
        "POST",
        "/dashboard/predictions/{model_name}/{model_version}",
        "Ask a version of a model, from the dashboard.",
    ),
)
"""
A prediction has a route of its own here, since the page may only talk to the listener that it came from: its
Content-Security-Policy allows no other, and the page would need the key and the CORS headers of the inference
listener, whose address behind a proxy it cannot know.
"""
