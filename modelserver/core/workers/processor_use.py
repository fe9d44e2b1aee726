"""How much a worker computes while its handler runs, and how much it waits."""

from __future__ import annotations

from collections.abc import Callable

from attrs import field

from modelserver.core.workers.in_flight import Pace
from modelserver.language.attributes import define

ProcessorTime = Callable[[int], float | None]
"""Return the seconds that processors have spent on a process; None where nobody can tell."""


@define(eq=False)
class ProcessorUse:
    """
    The processors' seconds beside the handler's, of one worker's process, since the model is loaded.

    It is read twice, when the worker becomes ready and when somebody asks: calls pay nothing for it.
    """

    read: ProcessorTime
    pace: Pace
    _pid: int | None = field(default=None, init=False)
    _used: float | None = field(default=None, init=False)
    _handled: float = field(default=0.0, init=False)

    def begin(self, pid: int | None) -> None:
        """Count from now on, for this process; None: one of another machine, of which nothing is known."""
        self._pid, self._handled = pid, self.pace.seconds
        self._used = None if pid is None else self.read(pid)

    def so_far(self) -> tuple[float, float] | None:
        """Return the seconds of processors, and those of the handler; None where nothing is known."""
        used = None if self._pid is None else self.read(self._pid)
        if used is None or self._used is None:
            return None
        return used - self._used, self.pace.seconds - self._handled
