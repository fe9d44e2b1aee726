"""When a worker whose process has ended is started again, and when it is not any more."""

from __future__ import annotations

from attrs import field

from modelserver.language.attributes import define
from modelserver.version_settings.values import Timeouts

# https://github.com/pytorch/serve/blob/master/frontend/server/src/main/java/org/pytorch/serve/wlm/WorkerThread.java
BACKOFF = (1.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 89.0, 144.0, 233.0, 377.0, 610.0, 987.0)
"""Seconds to wait before the next start, by consecutive failures: the table of TorchServe and MMS."""
STEADY = 10.0
"""Seconds of being ready after which a worker counts as sound even if it had nothing to do: it is started
again at once when it dies, like one that has served."""


@define(eq=False)
class RestartPolicy:
    """
    The back-off and the recovery window of one worker.

    A worker that has proved itself (it has served, or was ready for ``STEADY`` seconds) is started again at
    once, others after a delay that grows with each failure. The recovery window opens with the first end and
    closes when the worker is ready. All times are the clock's (monotonic) seconds.

    :param timeouts: ``recovery``, the length of the window, and ``longest_backoff`` are read.
    :param proved: whether the present process has proved itself.
    :param restarts: how often the worker was started after its first start.
    """

    timeouts: Timeouts
    proved: bool = field(default=False, init=False)
    restarts: int = field(default=0, init=False)
    _failures: int = field(default=0, init=False)
    _launched: float | None = field(default=None, init=False)
    _ready_since: float | None = field(default=None, init=False)
    _recovery_ends: float | None = field(default=None, init=False)

    def launched(self, now: float) -> None:
        """Begin with a new process, which has proved nothing."""
        if self._launched is not None:
            self.restarts += 1
        self._launched = now
        self._ready_since = None
        self.proved = False

    def ready(self, now: float) -> float:
        """Close the recovery window. Return the seconds from the launch until now."""
        self._recovery_ends = None
        self._ready_since = now
        return 0.0 if self._launched is None else now - self._launched

    def prove(self) -> None:
        """Count earlier failures no more: the process has served."""
        self.proved = True
        self._failures = 0

    def reset(self) -> None:
        """Forget earlier failures, and open a new recovery window at the next end."""
        self._recovery_ends = None
        self._failures = 0

    def next_delay(self, now: float, is_blameless: bool = False) -> float | None:
        """
        Return the seconds until the next start; None when it would be after the recovery window.

        :param is_blameless: nothing speaks against the worker itself: it is started again at once.
        """
        if is_blameless:
            return 0.0
        if self._recovery_ends is None:
            self._recovery_ends = now + self.timeouts.recovery
        if self._ready_since is not None and now - self._ready_since >= STEADY:
            self.prove()
        delay = 0.0
        if not self.proved:
            delay = min(BACKOFF[min(self._failures, len(BACKOFF) - 1)], self.timeouts.longest_backoff)
            self._failures += 1
        return None if now + delay > self._recovery_ends else delay
