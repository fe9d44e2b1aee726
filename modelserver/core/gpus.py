"""Which GPUs there are, and which worker has which."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field

from modelserver.core.quarantine import Quarantine
from modelserver.language.attributes import define


@define(eq=False)
class Devices:
    """
    Hands GPUs to workers: always the one with the fewest workers, the lowest id first.

    :param quarantine: which of them are set aside.
    :param parts: those that are MIG instances: a process sees its own alone, as its device 0.
    """

    count: int
    quarantine: Quarantine
    parts: frozenset[int] = frozenset()
    _taken: dict[int, int] = field(factory=dict, init=False)

    def take(self, wanted: Sequence[int] = ()) -> int | None:
        """
        A GPU for one more worker, None when there are none, or all are set aside: see ``obstacle``.

        :param wanted: the ids to choose from; empty or unknown ones mean all.
        """
        choices = self._choices(wanted)
        if not choices:
            return None
        choice = min(choices, key=lambda gpu: (self._taken.get(gpu, 0), gpu))
        self._taken[choice] = self._taken.get(choice, 0) + 1
        return choice

    def take_group(self, size: int, wanted: Sequence[int] = ()) -> tuple[int, ...] | None:
        """``size`` GPUs for one worker that spans devices, None when there are not enough."""
        choices = self._choices(wanted)
        groups = [tuple(choices[at : at + size]) for at in range(0, len(choices) - size + 1, size)]
        if not groups or size < 1:
            return None
        group = min(groups, key=lambda ids: (sum(self._taken.get(gpu, 0) for gpu in ids), ids))
        for gpu in group:
            self._taken[gpu] = self._taken.get(gpu, 0) + 1
        return group

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

    def _choices(self, wanted: Sequence[int]) -> list[int]:
        return [gpu for gpu in self._named(wanted) if self.quarantine.reason(gpu) is None]

    def _named(self, wanted: Sequence[int]) -> list[int]:
        if wanted and all(0 <= gpu < self.count for gpu in wanted):
            return list(wanted)
        return list(range(self.count))
