"""What the workers of each version take: measured, or expected from the size of the archive."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from attrs import field

from modelserver.devices import Bank
from modelserver.language.attributes import define
from modelserver.spec import VersionSpec

Key = tuple[str, str]
"""The name and the number of a version."""

OVERHEAD = 64 << 20
"""Bytes that a worker is expected to take beside what is in its archive, until one was measured."""

MOST = 10_000
"""Accounts that are kept, be their versions served or not."""


def key_of(version: VersionSpec) -> Key:
    """Return what a version's account goes by: also one that is registered again has it."""
    return version.name, version.version


@define
class Account:
    """
    What is known of one version. All sizes are bytes.

    :param guess: for a worker, until one was measured.
    :param seen: the largest that a worker was; 0: none was measured.
    :param template: the largest that the template was, from which workers are forked; 0: there was none.
    :param workers: those that something is set aside for.
    :param has_template: the template is there, whether it has workers or not.
    :param guess_on_gpu: for a worker, on each GPU that it has, until one was measured.
    :param seen_on_gpu: the most that a worker had of each of its GPUs; 0: none has told of any.
    :param is_measured: a worker that has loaded was looked at, whatever was found.
    :param on_gpus: by GPU, the workers that something is set aside for there.
    """

    guess: int
    seen: int = 0
    template: int = 0
    workers: int = 0
    has_template: bool = False
    guess_on_gpu: int = 0
    seen_on_gpu: int = 0
    is_measured: bool = False
    on_gpus: dict[int, int] = field(factory=dict)

    def guess_from(self, version: VersionSpec) -> None:
        """Take the size of the archive for that of a worker; one that spans GPUs has a part on each."""
        self.guess = version.archive_size + OVERHEAD
        self.guess_on_gpu = ceil(version.archive_size / max(1, version.devices.parallel_level)) + OVERHEAD

    @property
    def expected_on_gpu(self) -> int:
        """How much one worker more takes of each GPU that it gets."""
        return self.seen_on_gpu or self.guess_on_gpu

    def count(self, workers: int, gpus: Iterable[int]) -> None:
        """Count more workers, or fewer, which have these GPUs."""
        self.workers = max(0, self.workers + workers)
        self.count_on(workers, gpus)

    def count_on(self, workers: int, gpus: Iterable[int]) -> None:
        """Count more workers, or fewer, on GPUs alone."""
        for gpu in gpus:
            self.on_gpus[gpu] = self.on_gpus.get(gpu, 0) + workers
            if self.on_gpus[gpu] <= 0:
                del self.on_gpus[gpu]

    def reserved_on(self, bank: Bank) -> int:
        """How much is set aside of one memory."""
        return self.reserved if bank is None else self.on_gpus.get(bank, 0) * self.expected_on_gpu

    @property
    def expected(self) -> int:
        """How much one worker more takes."""
        return self.seen or self.guess

    @property
    def reserved(self) -> int:
        """How much is set aside."""
        return self.cost_of(self.workers) if self.workers else self.template * self.has_template

    def cost_of(self, workers: int) -> int:
        """Return what so many workers take where none is, with the process that they are forked from."""
        return workers * self.expected + self.template

    def cost_of_more(self, workers: int) -> int:
        """Return what so many workers take beside those that are there."""
        return workers * self.expected + (0 if self.workers or self.has_template else self.template)


@define(eq=False)
class Accounts:
    """The accounts of all versions, also of those that are gone: what was measured holds when they return."""

    _by_key: dict[Key, Account] = field(factory=dict, init=False)

    def of(self, version: VersionSpec) -> Account:
        """Return the account of a version."""
        key = key_of(version)
        account = self._by_key.get(key)
        if account is None:
            account = self._by_key[key] = Account(0)
        if not account.workers:
            account.guess_from(version)  # the archive may be another one by now
        return account

    def reserved_on(self, bank: Bank) -> int:
        """How much of one memory is set aside for all together."""
        return sum(account.reserved_on(bank) for account in self._by_key.values())

    def forget(self, kept: Iterable[Key]) -> None:
        """Where there are very many, keep only these, and those that something is set aside for."""
        if len(self._by_key) <= MOST:
            return
        keys = set(kept)
        self._by_key = {key: each for key, each in self._by_key.items() if key in keys or each.workers}
