"""Spans of what management does, for as long as it takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modelserver.traces import Trace, Tracer


@contextmanager
def recorded(tracer: Tracer | None, name: str, whole: Trace | None = None) -> Iterator[Trace | None]:
    """
    Trace what is done meanwhile; None: nothing is traced.

    :param whole: what it is a part of; None: the request on whose behalf it is done, if that is traced.
    """
    if tracer is None:
        yield None
        return
    trace = tracer.operation(name, {}) if whole is None else whole.run(tracer.operation, name, {})
    try:
        yield trace
    except Exception as error:
        trace.note({"error.type": type(error).__name__})
        trace.end(str(error))
        raise
    trace.end()


def fetched(trace: Trace | None, attribute: str, name: str) -> None:
    """
    Note in the trace of a registration, if it has one, that what is registered is here, and what it is.

    :param attribute: under which its name stands.
    """
    if trace is not None:
        trace.took("fetch")
        trace.note({attribute: name})
