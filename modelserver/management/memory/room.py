"""How much is free in each memory that is bounded, and how many workers that is enough for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from math import inf

from attrs import field

from modelserver.core.gpus import least_free
from modelserver.core.shortage import MemoryShort
from modelserver.devices import HOST, Bank
from modelserver.language.attributes import define, frozen
from modelserver.management.memory.accounts import Accounts
from modelserver.spec import MemoryFigures, VersionSpec

GPU_LIMIT = "gpu_memory_limit on GPU {gpu}"
"""What a refusal names."""


@frozen
class Need:
    """
    Workers that are to start.

    :param on_gpus: how many of them get GPUs at most; None: all, if the version's do.
    """

    version: VersionSpec
    workers: int
    on_gpus: int | None = None

    @property
    def most_on_gpus(self) -> int:
        """How many of them get GPUs at most."""
        return self.workers if self.on_gpus is None else min(self.workers, self.on_gpus)


@define(eq=False)
class Room:
    """
    The memory of this machine and of its GPUs, as far as it is bounded.

    :param limits: bytes.
    :param groups: what one worker of a version may be given: so many GPUs each; empty for none.
    """

    limits: dict[Bank, int]
    accounts: Accounts
    groups: Callable[[VersionSpec], Sequence[tuple[int, ...]]]
    gpus: tuple[int, ...] = field(init=False)
    """Those that have a limit."""

    def __attrs_post_init__(self) -> None:
        self.gpus = tuple(bank for bank in self.limits if bank is not None)

    def free(self) -> dict[Bank, int]:
        """Return the bytes that are not set aside; fewer than none where workers have grown."""
        return {bank: limit - self.accounts.reserved_on(bank) for bank, limit in self.limits.items()}

    def free_on_gpus(self) -> dict[int, int]:
        """Return the same of GPUs alone."""
        return {gpu: self.limits[gpu] - self.accounts.reserved_on(gpu) for gpu in self.gpus}

    def held(self, version: VersionSpec) -> dict[Bank, int]:
        """Return what a version has, and would give back."""
        account = self.accounts.of(version)
        return {bank: account.reserved_on(bank) for bank in self.limits}

    def workers(self, need: Need, free: Mapping[Bank, int]) -> int:
        """Return how many of the wanted workers fit into what is free."""
        count = need.workers
        if HOST in free:
            account = self.accounts.of(need.version)
            while count and account.cost_of_more(count) > free[HOST]:
                count -= 1
        fitting = sum(self._fits(need, free).values())
        return count if fitting >= need.most_on_gpus else min(count, int(fitting))

    def short(self, need: Need, free: Mapping[Bank, int]) -> set[Bank]:
        """Return the memories that have too little: of GPUs, all those that could take a worker."""
        found: set[Bank] = set()
        if HOST in free and self.accounts.of(need.version).cost_of_more(need.workers) > free[HOST]:
            found.add(HOST)
        fits = self._fits(need, free)
        if sum(fits.values()) < need.most_on_gpus:
            found.update(gpu for group in fits for gpu in group if gpu in self.limits)
        return found

    def banks(self, need: Need) -> set[Bank]:
        """Return the memories that workers may be short of."""
        found: set[Bank] = {HOST} & set(self.limits)
        groups = self.groups(need.version) if self.gpus and need.most_on_gpus else ()
        if all(any(gpu in self.limits for gpu in group) for group in groups):
            found.update(gpu for group in groups for gpu in group if gpu in self.limits)
        return found

    def is_possible(self, need: Need) -> bool:
        """Return whether the workers fit where nobody else is."""
        return not self.short(need, self.limits)

    def _fits(self, need: Need, free: Mapping[Bank, int]) -> Mapping[tuple[int, ...], float]:
        """How many workers each group of GPUs has room for. A version that is given none has no bounds."""
        groups = self.groups(need.version) if self.gpus else ()
        if not groups:
            return {(): inf}
        size = self.accounts.of(need.version).expected_on_gpu
        on_gpus = {gpu: free[gpu] for gpu in self.gpus}
        return {group: _times(size, least_free(group, on_gpus)) for group in groups}

    def shortage(self, need: Need, retry_after: float, awaited: Set[Bank] = frozenset()) -> MemoryShort:
        """
        Return what to tell those who have too little: the GPU with the most room, if that is it.

        :param awaited: memories that others wait for, who came before.
        """
        name, number = need.version.name, need.version.version
        account, free = self.accounts.of(need.version), self.free()
        short = self.short(need, free) or self.banks(need) & awaited
        if HOST in short:
            bank, place, seen = HOST, "model_memory_limit", account.seen
            needed = account.cost_of_more(need.workers)
        else:
            fits = self._fits(need, free)
            best = max(fits, key=lambda group: (least_free(group, self.free_on_gpus()), group))
            bank = min((gpu for gpu in best if gpu in self.gpus), key=lambda gpu: (free[gpu], gpu))
            others = sum(count for group, count in fits.items() if group != best)
            needed = account.expected_on_gpu * int(max(1, need.most_on_gpus - others))
            seen, place = account.seen_on_gpu, GPU_LIMIT.format(gpu=bank)
        return MemoryShort(
            name,
            number,
            needed,
            self.accounts.reserved_on(bank),
            self.limits[bank],
            is_seen=seen > 0,
            place=place,
            retry_after=retry_after,
        )

    def figures(self, version: VersionSpec) -> dict[Bank, MemoryFigures]:
        """Return what one more worker takes, and what there is, of each memory that a version may have."""
        account = self.accounts.of(version)
        groups = self.groups(version) if self.gpus else ()
        banks = {HOST, *(gpu for group in groups for gpu in group), *account.on_gpus}
        found = {}
        for bank, limit in self.limits.items():
            if bank in banks:
                expected = account.cost_of_more(1) if bank is HOST else account.expected_on_gpu
                seen = account.seen if bank is HOST else account.seen_on_gpu
                found[bank] = MemoryFigures(limit, self.accounts.reserved_on(bank), expected, seen > 0)
        return found


def _times(size: int, free: float) -> float:
    """How often a size fits into what is free; as often as anybody likes where that has no bounds."""
    return inf if free == inf else max(0, free // size)
