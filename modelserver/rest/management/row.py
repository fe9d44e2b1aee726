"""What the rows of the management listener have in common."""

from __future__ import annotations

from modelserver.management.call_parameters import Parameter
from modelserver.rest.route import BOTH, Access, ListenerRole, Route


def management_route(
    operation: str,
    method: str,
    path: str,
    description: str,
    answers: dict[int, str],
    *,
    refusals: tuple[int, ...] = (),
    parameters: tuple[Parameter, ...] = (),
    dialects: tuple[str, ...] = BOTH,
    feature: str = "",
    body: str = "",
    documented: tuple[str, ...] = BOTH,
    only_reads: bool = False,
    at_inference: str = "",
) -> Route:
    """Return a row: the management key is asked for, and a call may be malformed or have another method."""
    return Route(
        operation=operation,
        methods=(method,),
        path=path,
        listeners=frozenset({ListenerRole.MANAGEMENT}),
        access=Access.MANAGEMENT,
        description=description,
        answers=answers,
        refusals=(400, 405, *refusals),
        parameters=parameters,
        dialects=dialects,
        feature=feature,
        body=body,
        documented=documented,
        only_reads=only_reads,
        at_inference=at_inference,
    )
