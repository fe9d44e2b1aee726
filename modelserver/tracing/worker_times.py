"""What a worker tells of a call: read with care, since a handler may write to its worker's socket."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from modelserver.jobs import CallMarks
from modelserver.traces import Attributes, AttributeValue
from modelserver.tracing.spans import NO_ATTRIBUTES

MOST_STEPS = 128
MOST_ATTRIBUTES = 32
LONGEST_NAME, LONGEST_TEXT = 128, 1024
LARGEST = 1 << 63
"""What OTLP has no integers for."""
LONGEST_CLASS = 128
_PLACE = re.compile(r"-?[0-9]{1,7}")


class Step(NamedTuple):
    """
    Something that a handler did in a call.

    :param begun: in the clock's (monotonic) seconds, which all processes of a machine share; so is ``ended``.
    :param inside: the number of the step that it was a part of; -1: the handler's call itself.
    """

    name: str
    begun: float
    ended: float
    inside: int = -1
    attributes: Attributes = NO_ATTRIBUTES


class CallTimes(NamedTuple):
    """
    What was done when in one call.

    :param decode: begin and end of decoding; None: the worker does not tell.
    :param handler: begin and end of the handler's call.
    :param failed: what that has raised, as attributes.
    :param steps: the handler's own, in the order in which they began.
    :param attributes: what the handler says of each request, by its place in the batch; -1: of all.
    """

    decode: tuple[float, float] | None
    handler: tuple[float, float]
    failed: Attributes = NO_ATTRIBUTES
    steps: tuple[Step, ...] = ()
    attributes: Mapping[int, Attributes] = {}


def read_times(marks: CallMarks, bounds: tuple[float, float]) -> CallTimes:
    """
    Read what a worker tells; what cannot be is left out.

    :param bounds: the clock's seconds between which all of it was.
    """
    begun, called, returned = times_between(marks, *bounds)
    more = marks.more
    decode, handler = (begun, called), (called, returned)
    if not more:  # as nearly always
        return CallTimes(decode, handler)
    name = more.get("failed")
    failed = {"exception.type": name[:LONGEST_CLASS]} if isinstance(name, str) else NO_ATTRIBUTES
    return CallTimes(decode, handler, failed, *_read_more(more, bounds))


def times_between(marks: CallMarks, first: float, last: float) -> tuple[float, float, float]:
    """Return when decoding and the call began, and its end: in this order, and within bounds."""
    begun, called, returned, _ = marks
    if not first <= begun <= called <= returned <= last:
        begun = _between(begun, first, last)
        called = _between(called, begun, last)
        returned = _between(returned, called, last)
    return begun, called, returned


def _between(seconds: float, first: float, last: float) -> float:
    """Return what is nearest to a number between two others; the first one for what is no number."""
    return seconds if first <= seconds <= last else last if seconds > last else first


def _read_more(
    document: Mapping[str, object], bounds: tuple[float, float]
) -> tuple[tuple[Step, ...], Mapping[int, Attributes]]:
    rows = document.get("steps")
    steps: list[Step] = []
    for row in rows[:MOST_STEPS] if isinstance(rows, list) else ():
        step = _read_step(row, len(steps), bounds)
        if step is not None:
            steps.append(step)
    notes = document.get("attributes")
    attributes = {}
    for place, values in notes.items() if isinstance(notes, dict) else ():
        if _PLACE.fullmatch(place):
            attributes[int(place)] = _read_attributes(values)
    return tuple(steps), attributes


def _read_step(row: object, number: int, bounds: tuple[float, float]) -> Step | None:
    if not isinstance(row, list) or len(row) != 5:
        return None
    name, begun, ended, inside, attributes = row
    if not isinstance(name, str) or not isinstance(inside, int):
        return None
    first, last = bounds
    times = []
    for at in (begun, ended):
        if not isinstance(at, int | float) or not isfinite(at):
            return None
        times.append(min(max(float(at), first), last))
    inside = inside if -1 <= inside < number else -1
    return Step(name[:LONGEST_NAME], times[0], max(times), inside, _read_attributes(attributes))


def _read_attributes(values: object) -> Attributes:
    read: dict[str, AttributeValue] = {}
    for name, value in values.items() if isinstance(values, dict) else ():
        if len(read) >= MOST_ATTRIBUTES:
            break
        if isinstance(value, str):
            read[name[:LONGEST_NAME]] = value[:LONGEST_TEXT]
        elif isinstance(value, float) or (isinstance(value, bool | int) and abs(value) < LARGEST):
            read[name[:LONGEST_NAME]] = value
    return read
