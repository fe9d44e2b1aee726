"""Which GPUs are set aside for a while (a circuit breaker), and why: no worker is placed on them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import field

from modelserver.language.attributes import define, frozen

MOST_FAULTS, WINDOW = 3, 60.0
"""So many faults of a device within so many seconds set it aside."""
ASIDE = 300.0
"""Seconds for which it is; a worker tries it then."""
OF_THE_CODE = frozenset((2, 700, 710, 714, 715, 716, 717, 718))
"""CUDA's errors that a model's own kernels can bring about on a sound device: a bad index is enough."""


@frozen
class Fault:
    """One worker's process could use the device no more."""

    at: float
    version: str
    code: int | None


@define(eq=False)
class Quarantine:
    """
    Counts the faults of each GPU, hears of its health, and sets it aside.

    Faults of the kind that bad input to one model brings about do not speak against the device while only one
    version meets them: else a client could take every GPU from everybody, one after the other.

    :param seconds: on the clock that never goes back.
    :param told: is called with each GPU that has just been set aside, and the reason.
    """

    seconds: Callable[[], float]
    told: Callable[[int, str], None] = field(default=lambda gpu, reason: None)
    _faults: dict[int, deque[Fault]] = field(factory=dict, init=False)
    _until: dict[int, tuple[float, str]] = field(factory=dict, init=False)
    _sick: dict[int, str] = field(factory=dict, init=False)

    def fault(self, gpu: int, version: str, code: int | None) -> None:
        """Count a fault of a GPU that a worker of ``version`` (its name and version) has met."""
        now = self.seconds()
        faults = self._faults.setdefault(gpu, deque())
        faults.append(Fault(now, version, code))
        while faults[0].at <= now - WINDOW:
            faults.popleft()
        if len(faults) < MOST_FAULTS or _is_the_code(faults):
            return
        reason = f"{len(faults)} device faults within {WINDOW:g} s, the last of {version}"
        faults.clear()
        was_aside = self.reason(gpu) is not None
        self._until[gpu] = now + ASIDE, reason
        if not was_aside:
            self.told(gpu, reason)

    def examined(self, gpu: int, illness: str | None) -> None:
        """Hear what the driver says of a GPU: why no work should be given to it, or None."""
        was_aside = self.reason(gpu) is not None
        if illness is None:
            self._sick.pop(gpu, None)
            return
        self._sick[gpu] = illness
        if not was_aside:
            self.told(gpu, illness)

    def reason(self, gpu: int) -> str | None:
        """Return why a GPU is set aside; None: it is not."""
        if gpu in self._sick:
            return self._sick[gpu]
        until, reason = self._until.get(gpu, (0.0, ""))
        if until > self.seconds():
            return reason
        self._until.pop(gpu, None)
        return None


def _is_the_code(faults: deque[Fault]) -> bool:
    """Whether all faults can be what one version does on a sound device."""
    return len({fault.version for fault in faults}) == 1 and all(
        fault.code in OF_THE_CODE for fault in faults
    )
