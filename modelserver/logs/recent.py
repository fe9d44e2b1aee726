"""The last lines of the log by level, kept in memory for whoever shows them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count
from typing import NamedTuple

from attrs import field
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText
from zope.interface import implementer

from modelserver.backends.output import OUTPUT_NAMESPACE
from modelserver.language.attributes import define

KEPT = 50
"""Lines of each level; those of workers are kept apart, so that a talkative one drives nothing else out."""
LONGEST = 1000
"""Characters of a line."""
_LEVELS: Mapping[object, str] = {
    LogLevel.info: "info",
    LogLevel.warn: "warn",
    LogLevel.error: "error",
    LogLevel.critical: "error",
}
LEVELS = ("error", "warn", "info")


class RecentLine(NamedTuple):
    """
    A line of the log.

    :param number: it came before those with higher numbers.
    :param at: seconds since the epoch.
    :param source: the worker that wrote it (model, version, worker), or empty: the server itself.
    """

    number: int
    at: float
    level: str
    source: str
    text: str


@implementer(ILogObserver)
@define(eq=False)
class RecentLines:
    """
    Keeps the last lines of each level, the lines of workers and of the server apart.

    It may be told from any thread: nothing is read and written but single steps of deque and counter.
    """

    _numbers: count[int] = field(factory=lambda: count(1), init=False)
    _lines: Mapping[tuple[str, bool], deque[RecentLine]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lines = {
            (level, is_output): deque(maxlen=KEPT) for level in LEVELS for is_output in (False, True)
        }

    def __call__(self, event: LogEvent) -> None:
        """Keep the line of an event, unless it is a debug line."""
        is_output = event.get("log_namespace") == OUTPUT_NAMESPACE and "line" in event
        level = _LEVELS.get(event.get("log_level"))
        if level is None:
            return
        if is_output:
            level = "warn" if event.get("stream") == "stderr" else "info"
            text, source = str(event["line"]), f"{event.get('model')} {event.get('version')}"
            source += f", worker {event.get('worker')}"
        else:
            text, source = eventAsText(event, includeTimestamp=False, includeSystem=False), ""
        at = float(event.get("log_time", 0.0))
        line = RecentLine(next(self._numbers), at, level, source, text[-LONGEST:])
        self._lines[level, is_output].append(line)

    def since(self, number: int) -> Sequence[RecentLine]:
        """Return the lines with higher numbers, in their order."""
        found = [line for lines in self._lines.values() for line in list(lines) if line.number > number]
        return sorted(found)
