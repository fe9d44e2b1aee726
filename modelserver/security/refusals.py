"""Counts requests that were refused for who sent them, and tells the log of them once a minute."""

from __future__ import annotations

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from modelserver.interfaces import Recorder
from modelserver.language.attributes import define

EVERY = 60.0
"""Seconds between two lines, however many requests are refused."""

_log = Logger()


@define(eq=False)
class Refusals:
    """
    Counts refused requests by cause.

    The first one is logged at once, those of the minute that follows in one line at its end.
    """

    clock: IReactorTime
    recorder: Recorder
    _counts: dict[str, int] = field(factory=dict, init=False)
    _last: str = field(default="", init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)

    def note(self, cause: str, error: Exception) -> None:
        """
        Count one request.

        :param cause: its name in metrics: ``page``, or a kind of key with ``_key`` behind it.
        :param error: what the client was told.
        """
        self.recorder.refused("", cause)
        self._counts[cause] = self._counts.get(cause, 0) + 1
        self._last = str(error)
        if self._timer is None:
            self._tell()

    def _tell(self) -> None:
        """Write the line, and wait for the next; without a refusal since the last line, wait no more."""
        self._timer = None
        if not self._counts:
            return
        counts, self._counts = self._counts, {}
        _log.warn(
            "Requests were refused: {counts}. The last one: {last}",
            counts=", ".join(f"{cause} {count}" for cause, count in sorted(counts.items())),
            last=self._last,
        )
        self._timer = self.clock.callLater(EVERY, self._tell)
