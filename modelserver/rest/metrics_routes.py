"""The rows of the metrics listener."""

from __future__ import annotations

from modelserver.management.call_parameters import Parameter
from modelserver.rest.route import ANY_METHOD, BOTH, Access, ListenerRole, Route

_NAMES = Parameter("name[]", "text", "The name of a sample that is wanted; may be repeated.")


def _row(operation: str, path: str, description: str, documented: tuple[str, ...] = BOTH) -> Route:
    return Route(
        operation=operation,
        methods=(*ANY_METHOD, "OPTIONS"),
        path=path,
        listeners=frozenset({ListenerRole.METRICS}),
        access=Access.OPEN,
        description=description,
        answers={200: "Metrics"},
        parameters=(_NAMES,),
        only_reads=True,
        documented=documented,
    )


METRICS_ROUTES = (
    _row("metrics", "/metrics", "The metrics in Prometheus' text format."),
    _row("metrics_below", "/metrics/{rest}", "The same as /metrics.", documented=()),
)
