"""Where calls that are over are written down: the access log and the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from attrs import field

from modelserver.interfaces import Recorder
from modelserver.language.attributes import define
from modelserver.logs.layouts import Access, AlikeAccesses
from modelserver.rpc.codes import Code
from modelserver.rpc.interfaces import EndedCall
from modelserver.system.bounded_cache import Memo

PROTOCOL = "HTTP/2.0"
MOST_PATHS, LONGEST_PATH = 1024, 512
"""Paths that are remembered as they are shown."""
FEW = 4
"""Calls that are noted one by one: to take them together would cost more."""
# An attribute of an Enum's member costs as much as a call.
_NAMES = tuple(code.name for code in Code)


class CallLines(Protocol):
    """Where answered calls are noted."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def record_all(self, answered: Sequence[Access]) -> None:
        """Calls that were answered."""

    def record_alike(self, answered: AlikeAccesses) -> None:
        """Calls that were answered together."""


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
        begin, (first, last) = 0, calls[0]
        method = first.method
        for at, (call, code) in enumerate(calls):
            if code is not last or call.method is not method:
                self._note_alike(calls[begin:at], now)
                begin, last, method = at, code, call.method
        self._note_alike(calls[begin:] if begin else calls, now)

    def _note_alike(self, calls: Sequence[EndedCall], now: float) -> None:
        """Note calls of one method that have ended with the same code."""
        (first, code), trace_id = calls[0], self.trace_id()
        asked, remote, number, time = self._shown[first.method], first.peer, int(code), self.access_log.now()
        seconds = [now - call.arrived for call, _ in calls]
        milliseconds, ids = [spent * 1000 for spent in seconds], [call.request_id for call, _ in calls]
        alike = AlikeAccesses(time, remote, asked, number, milliseconds, ids, trace_id)
        if len(calls) < FEW:
            self.access_log.record_all(list(alike.apart()))
        else:
            self.access_log.record_alike(alike)
        received, sent = sum([call.received for call, _ in calls]), sum([call.sent for call, _ in calls])
        self.recorder.calls_ended(self._counted.get(first.method, ""), _NAMES[code], seconds, received, sent)


def _as_asked(path: str) -> tuple[str, str, str]:
    return "gRPC", path.removeprefix("/"), PROTOCOL
