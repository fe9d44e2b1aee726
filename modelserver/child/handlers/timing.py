"""How long the steps of a handler take."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from modelserver.protocol.metric_units import PROFILE_PREFIX

if TYPE_CHECKING:
    from modelserver.child.context import Context

Function = TypeVar("Function", bound=Callable[..., Any])
log = logging.getLogger(__name__)


def timed(func: Function) -> Function:
    """
    Let a handler's method emit the metric ``ts_handler_<its name>``, in milliseconds.

    Only where ``model-config.yaml`` says ``handler: {profile: true}``.
    """

    @functools.wraps(func)
    def measured(self: Any, *args: object, **kwargs: object) -> object:
        context = getattr(self, "context", None)
        if context is None or not _is_profiled(context):
            return func(self, *args, **kwargs)
        started = time.perf_counter()
        result = func(self, *args, **kwargs)
        emit_time(context, f"{PROFILE_PREFIX}{func.__name__}", started)
        return result

    return cast("Function", measured)


def emit_time(context: Context, name: str, started: float) -> None:
    """
    Emit the milliseconds that have passed since ``started``.

    :param started: what ``time.perf_counter`` said.
    """
    metrics: Any = context.metrics
    if metrics is not None:
        metrics.add_time(name, round((time.perf_counter() - started) * 1000, 2), None, "ms")


def _is_profiled(context: Context) -> bool:
    section = (getattr(context, "model_yaml_config", None) or {}).get("handler")
    return isinstance(section, dict) and bool(section.get("profile"))


def timeit(func: Function) -> Function:
    """Let a function log how long each of its calls took."""

    @functools.wraps(func)
    def measured(*args: object, **kwargs: object) -> object:
        started = time.perf_counter()
        result = func(*args, **kwargs)
        log.info("func:%r took: %2.4f sec", func.__name__, time.perf_counter() - started)
        return result

    return cast("Function", measured)
