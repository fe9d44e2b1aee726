"""Where calls that are over are written down: the access log and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from attrs import field

from modelserver.interfaces import Answered, CountedCall, Recorder
from modelserver.language.attributes import define
from modelserver.rpc.codes import Code
from modelserver.rpc.interfaces import EndedCall
from modelserver.system.bounded_cache import Memo

PROTOCOL = "HTTP/2.0"
MOST_PATHS, LONGEST_PATH = 1024, 512
"""Paths that are remembered as they are shown."""
# An attribute of an Enum's member costs as much as a call.
_NAMES = tuple(code.name for code in Code)


class CallLines(Protocol):
    """Where answered calls are noted."""

    def record_all(self, remote: str, answered: Sequence[Answered], trace_id: str = "") -> None:
        """Calls of one client that were answered."""


@define(eq=False)
class CallLog:
    """
    Notes calls as TorchServe does: ``"gRPC <package.Service>/<Method> HTTP/2.0" <code> <ms>``.

    It notes all calls; TorchServe leaves out those that it refuses.

    :param trace_id: returns the id of the present call's trace, or nothing.
    :param methods: the paths that there are; calls of others are counted together, under an empty name.
    """

    access_log: CallLines
    recorder: Recorder
    methods: Iterable[str]
    trace_id: Callable[[], str] = str
    _counted: dict[str, str] = field(init=False)
    _shown: Memo[str, tuple[str, str, str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._counted = {path: path.removeprefix("/") for path in self.methods}
        self._shown = Memo(_as_asked, MOST_PATHS, LONGEST_PATH)

    def ended(self, calls: Sequence[EndedCall], now: float) -> None:
        """Note calls of one connection that are over; ``now``: the clock's seconds of their arrivals."""
        lines: list[Answered] = []
        counted: list[CountedCall] = []
        shown, name_of = self._shown, self._counted.get
        for call, code in calls:
            method, seconds = call.method, now - call.arrived
            lines.append((shown[method], int(code), seconds * 1000, call.request_id))
            counted.append((name_of(method, ""), _NAMES[code], seconds, call.received, call.sent))
        self.access_log.record_all(calls[0][0].peer, lines, self.trace_id())
        self.recorder.calls_ended(counted)


def _as_asked(path: str) -> tuple[str, str, str]:
    return "gRPC", path.removeprefix("/"), PROTOCOL
