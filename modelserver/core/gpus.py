"""Which GPUs there are, and which worker has which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from types import MappingProxyType

from attrs import field

from modelserver.core.quarantine import Quarantine
from modelserver.language.attributes import define

ANY: Mapping[int, int] = MappingProxyType({})
"""No GPU's memory is bounded."""


def least_free(gpus: Iterable[int], free: Mapping[int, int]) -> float:
    """Return the bytes that are free on each of some GPUs; infinite where they are not bounded."""
    return min((free.get(gpu, inf) for gpu in gpus), default=inf)


@define(eq=False)
class Devices:
    """
    Hands GPUs to workers: always the one with the fewest workers, the lowest id first.

    Where the memory of GPUs is bounded, the one with the most free bytes goes first.

    :param quarantine: which of them are set aside.
    :param parts: those that are MIG instances: a process sees its own alone, as its device 0.
    """

    count: int
    quarantine: Quarantine
    parts: frozenset[int] = frozenset()
    _taken: dict[int, int] = field(factory=dict, init=False)

    def take(self, wanted: Sequence[int] = (), free: Mapping[int, int] = ANY) -> int | None:
        """
        A GPU for one more worker, None when there are none, or all are set aside: see ``obstacle``.

        :param wanted: the ids to choose from; empty or unknown ones mean all.
        :param free: bytes by GPU, where its memory is bounded: the one with the most is given.
        """
        group = self._take(self.candidates(1, wanted), free)
        return None if group is None else group[0]

    def take_group(
        self, size: int, wanted: Sequence[int] = (), free: Mapping[int, int] = ANY
    ) -> tuple[int, ...] | None:
        """``size`` GPUs for one worker that spans devices, None when there are not enough."""
        return self._take(self.candidates(size, wanted), free)

    def candidates(self, size: int, wanted: Sequence[int] = ()) -> list[tuple[int, ...]]:
        """Return what one worker that needs ``size`` GPUs may be given, none of them set aside."""
        choices = self._choices(wanted)
        return [tuple(choices[at : at + size]) for at in range(0, len(choices) - size + 1, size or 1) if size]

    def give_back(self, gpu: int) -> None:
        """Count one worker less on this GPU: it is gone."""
        if self._taken.get(gpu, 0) > 0:
            self._taken[gpu] -= 1

    def obstacle(self, wanted: Sequence[int] = ()) -> str:
        """Return why GPUs that a worker could be given are set aside; empty where none is."""
        reason = self.quarantine.reason
        aside = [(gpu, why) for gpu in self._named(wanted) if (why := reason(gpu)) is not None]
        return "; ".join(f"GPU {gpu} is set aside: {why}" for gpu, why in aside)

    def aside(self) -> dict[int, str | None]:
        """Return for each GPU why it is set aside; None: it is not."""
        return {gpu: self.quarantine.reason(gpu) for gpu in range(self.count)}

    def _take(self, candidates: Sequence[tuple[int, ...]], free: Mapping[int, int]) -> tuple[int, ...] | None:
        if not candidates:
            return None

        def rank(gpus: tuple[int, ...]) -> tuple[float, int, tuple[int, ...]]:
            return -least_free(gpus, free), sum(self._taken.get(gpu, 0) for gpu in gpus), gpus

        chosen = min(candidates, key=rank)
        for gpu in chosen:
            self._taken[gpu] = self._taken.get(gpu, 0) + 1
        return chosen

    def _choices(self, wanted: Sequence[int]) -> list[int]:
        return [gpu for gpu in self._named(wanted) if self.quarantine.reason(gpu) is None]

    def _named(self, wanted: Sequence[int]) -> list[int]:
        if wanted and all(0 <= gpu < self.count for gpu in wanted):
            return list(wanted)
        return list(range(self.count))
