"""What is done when in a call whose requests are traced; it goes to the server as plain numbers."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar, Token
from types import TracebackType

from modelserver.jobs import CallMarks

ALL = -1
"""In the stead of a request's place: what is told is of all."""
MOST_STEPS = 128
"""Steps of a call that are kept."""

_inside: ContextVar[tuple[object, int] | None] = ContextVar("modelserver_step", default=None)
"""The step that the present one is a part of: its call, and its number there."""


class CallTrace:
    """
    The steps of one call, and what the handler says of its requests.

    Times are those of ``time.monotonic``, which all processes of a machine share.

    It is entered for as long as the handler works, or told of that.

    :param places: of the requests that the handler gets, among those of the batch.
    :param begun: when they were begun to be decoded.
    :ivar called: when the handler was called; ``returned``: when it was done.
    """

    __slots__ = ("_attributes", "_begun", "_failed", "_places", "_steps", "called", "returned")

    def __init__(self, places: Sequence[int], begun: float) -> None:
        self._places = places
        self._begun = self.called = self.returned = begun
        self._failed = ""
        # Of most calls, handlers say nothing.
        self._steps: list[list[object]] | None = None
        self._attributes: dict[int, dict[str, object]] | None = None

    def __enter__(self) -> None:
        self.called = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.returned = time.monotonic()
        if kind is not None:
            self._failed = kind.__name__

    def span(self, name: str, attributes: Mapping[str, object] | None = None) -> RunningStep:
        """Return a context manager: what is done in it is a step."""
        return RunningStep(self, name, attributes)

    def begin(self, name: str, attributes: Mapping[str, object], begun: float) -> list[object]:
        """Add a step that ends later, and return its row."""
        inside = _inside.get()
        parent = inside[1] if inside is not None and inside[0] is self else -1
        row: list[object] = [str(name), begun, begun, parent, _plain(attributes)]
        if self._steps is None:
            self._steps = [row]
        elif len(self._steps) < MOST_STEPS:
            self._steps.append(row)
        return row

    def number_of(self, row: list[object]) -> int:
        """Return the number of a step, or -1: it is one too many."""
        return next((number for number, each in enumerate(self._steps or ()) if each is row), -1)

    def set_attribute(self, name: str, value: object, idx: int = ALL) -> None:
        """Say something of one request, or of all."""
        place = ALL if idx == ALL else self._places[idx]
        if self._attributes is None:
            self._attributes = {}
        self._attributes.setdefault(place, {}).update(_plain({name: value}))

    def marks(self) -> CallMarks:
        """Return what the server is told."""
        more: dict[str, object] = {}
        if self._steps:
            more["steps"] = self._steps
        if self._attributes:
            more["attributes"] = self._attributes
        if self._failed:
            more["failed"] = self._failed
        return CallMarks(self._begun, self.called, self.returned, more)


class RunningStep:
    """A step while it is done."""

    def __init__(self, call: CallTrace, name: str, attributes: Mapping[str, object] | None) -> None:
        self._call = call
        self._name = name
        self._attributes = attributes or {}
        self._row: list[object] = []
        self._token: Token[tuple[object, int] | None] | None = None

    def __enter__(self) -> RunningStep:
        self._row = row = self._call.begin(self._name, self._attributes, time.monotonic())
        self._token = _inside.set((self._call, self._call.number_of(row)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._row[2] = time.monotonic()
        if kind is not None:
            self._row[4] = {**_plain(self._attributes), "exception.type": kind.__name__}
        if self._token is not None:
            _inside.reset(self._token)

    def set_attribute(self, name: str, value: object) -> None:
        """Say something of this step."""
        self._attributes = {**self._attributes, name: value}
        self._row[4] = _plain(self._attributes)


class NoStep:
    """Stands for a step where nothing is traced."""

    def __enter__(self) -> NoStep:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def set_attribute(self, name: str, value: object) -> None:
        """Do nothing."""


NO_STEP = NoStep()


class TracedCalls:
    """What a handler tells of its calls, by its context."""

    traced_call: tuple[Sequence[int], float] | None = None
    """Of a call that has a traced request, what its ``CallTrace`` is made of; None: it has none."""
    made_trace: CallTrace | None = None
    """That, once it has been asked for; most handlers ask for none."""

    @property
    def trace(self) -> CallTrace | None:
        """What is done when, in a call that has a traced request; handlers use ``trace_span``."""
        trace = self.made_trace
        if trace is None and self.traced_call is not None:
            trace = self.made_trace = CallTrace(*self.traced_call)
        return trace

    def trace_span(self, name: str, attributes: Mapping[str, object] | None = None) -> RunningStep | NoStep:
        """Make what is done in a ``with`` statement a span of its own; nothing where nothing is traced."""
        trace = self.trace
        return NO_STEP if trace is None else trace.span(name, attributes)

    def set_trace_attribute(self, name: str, value: object, idx: int = ALL) -> None:
        """Add an attribute to the span of one request, or of all of the batch."""
        trace = self.trace
        if trace is not None:
            trace.set_attribute(name, value, idx)


def _plain(attributes: Mapping[str, object]) -> dict[str, object]:
    """Return attributes as JSON has them."""
    return {
        str(name): value if isinstance(value, str | bool | int | float) else str(value)
        for name, value in attributes.items()
    }
