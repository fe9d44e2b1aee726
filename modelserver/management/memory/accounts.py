"""What the workers of each version take: measured, or expected from the size of the archive."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field

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
    """

    guess: int
    seen: int = 0
    template: int = 0
    workers: int = 0
    has_template: bool = False

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
            account = self._by_key[key] = Account(version.archive_size + OVERHEAD)
        elif not account.workers:
            account.guess = version.archive_size + OVERHEAD  # the archive may be another one by now
        return account

    @property
    def reserved(self) -> int:
        """How much is set aside for all together."""
        return sum(account.reserved for account in self._by_key.values())

    def forget(self, kept: Iterable[Key]) -> None:
        """Where there are very many, keep only these, and those that something is set aside for."""
        if len(self._by_key) <= MOST:
            return
        keys = set(kept)
        self._by_key = {key: each for key, each in self._by_key.items() if key in keys or each.workers}
