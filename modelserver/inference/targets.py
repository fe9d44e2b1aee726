"""Which model a request means that does not have to name one (SageMaker's ``/invocations``)."""

from __future__ import annotations

from collections.abc import Callable

from modelserver.core.registry import Registry
from modelserver.errors import ParameterMissing
from modelserver.inference.load_status import LoadStatus


def model_of_invocation(registry: Registry, start_up: LoadStatus, read_name: Callable[[], str | None]) -> str:
    """
    Return the name of the model that an invocation without a name in its address means.

    The only model of the server's start goes before a field of the body; see ``handleInvocations`` in
    https://github.com/pytorch/serve/blob/master/frontend/server/src/main/java/org/pytorch/serve/http/api/rest/InferenceRequestHandler.java

    :param start_up: the models of the start that are on their way count as if they were there: else an early
        request would be told that it names no model, or reach the first of two.
    :param read_name: reads the name from the request's body; called only where it counts.
        A name that is there and empty is a name that no model has.
    :raises ParameterMissing: nothing tells which model is meant.
    """
    at_start = [version.spec.name for version in registry.all() if version.spec.loaded_at_startup]
    names = dict.fromkeys((*at_start, *start_up.coming()))
    if len(names) == 1:
        return next(iter(names))
    name = read_name()
    if name is None:
        raise ParameterMissing("model_name")
    return name


def require_served(registry: Registry, name: str, version: str | None = None) -> None:
    """
    Check that a version is served.

    :param version: None for the default one.
    :raises ModelNotFound: no model has this name.
    :raises VersionNotFound: the model has no such version.
    """
    registry.get(name, version)
