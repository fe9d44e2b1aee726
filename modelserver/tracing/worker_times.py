"""What a worker tells of a call: read with care, since a handler may write to its worker's socket."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import NamedTuple

from modelserver.traces import Attributes, AttributeValue

MOST_STEPS = 128
MOST_ATTRIBUTES = 32
LONGEST_NAME, LONGEST_TEXT = 128, 1024
LARGEST = 1 << 63
"""What OTLP has no integers for."""
HANDLER = "handler"
"""The name of the step that is the handler's call itself."""


class Step(NamedTuple):
    """
    Something that a worker did in a call.

    :param begun: in the clock's (monotonic) seconds, which all processes of a machine share; so is ``ended``.
    :param inside: the number of the step that it was a part of; -1: the call.
    :param job: the place of the request in the batch that it was for; -1: all.
    """

    name: str
    begun: float
    ended: float
    inside: int = -1
    attributes: Attributes = {}


class CallTimes(NamedTuple):
    """
    The steps of one call, in the order in which they began.

    :param attributes: what the handler says of each request, by its place in the batch; -1: of all.
    """

    steps: tuple[Step, ...]
    attributes: Mapping[int, Attributes]


def read_times(document: Mapping[str, object], bounds: tuple[float, float]) -> CallTimes:
    """
    Read what a worker tells; what cannot be is left out.

    :param bounds: the clock's seconds between which all of it was.
    """
    rows = document.get("steps")
    steps: list[Step] = []
    for row in rows[:MOST_STEPS] if isinstance(rows, list) else ():
        step = _read_step(row, len(steps), bounds)
        if step is not None:
            steps.append(step)
    notes = document.get("attributes")
    attributes = {}
    for place, values in notes.items() if isinstance(notes, dict) else ():
        if place.lstrip("-").isdigit() and len(place) < 8:
            attributes[int(place)] = _read_attributes(values)
    return CallTimes(tuple(steps), attributes)


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
