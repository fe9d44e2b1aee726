"""The memory that all workers may take together, and which idle versions leave when it is short."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from modelserver.core.shortage import MemoryShort
from modelserver.core.version import ModelVersion
from modelserver.language.attributes import define
from modelserver.management.memory.accounts import Accounts, Key, key_of
from modelserver.management.memory.claims import Claim, Claims
from modelserver.management.memory.recency import Recency
from modelserver.spec import MemoryFigures, VersionSpec, WorkerSpec, WorkerState

RETRY = 1.0
"""Seconds after which a client that was refused may try again: a request in hand takes about as long."""
_UNKNOWN = frozenset({WorkerState.STARTING, WorkerState.READY})

_log = Logger()


@define(eq=False)
class WorkerMemory:
    """
    Sets memory aside for workers, and makes room by letting versions leave that nobody uses.

    Of versions that were never measured only one loads at a time, for their sizes are guesses: whatever they
    take, there is at most one such surprise at a time, and the next one counts with it.

    :param limit: bytes.
    :param versions: those that are served.
    :param seconds: the clock (monotonic).
    :param evict: ends the workers of an idle version.
    :param changed: is called when a worker can be measured.
    :param evictions: versions that had to leave so far.
    """

    limit: int
    versions: Callable[[], Sequence[ModelVersion]]
    seconds: Callable[[], float]
    evict: Callable[[ModelVersion], object] = lambda version: version.pool.scale(0, 0)
    changed: Callable[[], object] = lambda: None
    accounts: Accounts = field(factory=Accounts)
    evictions: dict[Key, int] = field(factory=dict, init=False)
    is_on: bool = field(default=True, init=False)
    _recency: Recency = field(factory=Recency, init=False)
    _claims: Claims = field(factory=Claims, init=False)
    _leaving: set[Key] = field(factory=set, init=False)
    _granted: Key | None = field(default=None, init=False)
    """The version whose claim is being granted: it may reserve more, although others wait."""
    _is_settling: bool = field(default=False, init=False)
    _is_stale: bool = field(default=False, init=False)

    # What the interface asks.

    def reserve(self, version: VersionSpec, workers: int) -> int:
        """Return how many more workers may start now; see to it that there is room for the others."""
        if not self.is_on or version.placement.is_elsewhere:
            return workers
        if self.is_awaited and key_of(version) != self._granted:
            return 0
        if self._is_behind_unknown(version):
            return 0
        count = self._room_for(version, workers)
        if count < workers:
            missing = self.accounts.of(version).cost_of_more(workers) - self._free - self._coming
            self._make_room(missing, key_of(version))
        return count

    def claim(self, version: VersionSpec, workers: int, waits: bool = False) -> Deferred[None]:
        """Fire when so many more workers may start; the order of claims is kept."""
        if workers <= 0 or not self.is_on or version.placement.is_elsewhere:
            return succeed(None)
        claim = self._claims.add(version, workers, waits)
        self.settle()
        return claim.granted

    def placed(self, worker: WorkerSpec) -> None:
        """Count a worker that is being started."""
        self.accounts.of(worker.version).workers += 1

    def loaded(self, worker: WorkerSpec) -> None:
        """Have a worker measured that has loaded its model."""
        self.changed()

    def left(self, worker: WorkerSpec) -> None:
        """Count a worker no more, and see who may start now."""
        account = self.accounts.of(worker.version)
        account.workers = max(0, account.workers - 1)
        if not account.workers:
            self._leaving.discard(key_of(worker.version))
        self.settle()

    def figures(self, version: VersionSpec) -> MemoryFigures | None:
        """Return what one more worker of a version takes, and what there is; None while there is no limit."""
        if not self.is_on or version.placement.is_elsewhere:
            return None
        account = self.accounts.of(version)
        return MemoryFigures(
            self.limit, self.accounts.reserved, account.cost_of_more(1), is_seen=account.seen > 0
        )

    # What is seen from time to time.

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for memory."""
        return len(self._claims) > 0

    def measured(self, version: VersionSpec, worker: int, template: int) -> None:
        """
        Note what was measured of a version.

        :param worker: bytes of its largest worker that has loaded, 0 if none has.
        :param template: bytes of its template, 0 if there is none.
        """
        account = self.accounts.of(version)
        account.seen = max(account.seen, worker)
        account.template = max(account.template, template)
        account.has_template = template > 0

    def look(self) -> None:
        """Note who was used, grant what can be granted; idle versions leave where there is too little."""
        versions = self.versions()
        self._recency.look(versions, self.seconds())
        self.accounts.forget([key_of(version.spec) for version in versions])
        if self.is_on and self._free + self._coming < 0:
            self._make_some_room(-self._free)
        self.settle()

    def turn_off(self) -> None:
        """Have no limit any more: what workers take cannot be read. Who waits may start."""
        self.is_on = False
        for claim in self._claims:
            self._claims.grant(claim)

    # Steps.

    @property
    def _free(self) -> int:
        return self.limit - self.accounts.reserved

    @property
    def _coming(self) -> int:
        """How many bytes those have who are leaving."""
        leaving = [version for version in self.versions() if key_of(version.spec) in self._leaving]
        return sum(self.accounts.of(version.spec).reserved for version in leaving)

    def settle(self) -> None:
        """Grant and refuse claims, as far as that can be told now."""
        if self._is_settling:
            self._is_stale = True  # somebody's worker has left, or started, meanwhile
            return
        self._is_settling = True
        try:
            self._is_stale = True
            while self._is_stale:
                self._is_stale = False
                self._settle()
        finally:
            self._is_settling = False

    def _settle(self) -> None:
        is_short = False
        for claim in self._claims:
            if not is_short and not self._is_behind_unknown(claim.version):
                if self._room_for(claim.version, claim.workers) == claim.workers:
                    self._granted = key_of(claim.version)
                    self._claims.grant(claim)
                    self._granted = None
                    self._is_stale = True
                    return
                if self._is_on_its_way(claim):
                    return
                is_short = True
            elif not is_short:
                return  # it is soon known what there is
            if not claim.waits or self._needed(claim) > self.limit:
                self._claims.refuse(claim, self._shortage(claim))
                self._is_stale = True
                return

    def _room_for(self, version: VersionSpec, workers: int) -> int:
        account, free = self.accounts.of(version), self._free
        while workers and account.cost_of_more(workers) > free:
            workers -= 1
        return workers

    def _is_behind_unknown(self, version: VersionSpec) -> bool:
        """Return whether a version of unknown size has to wait until another such one was measured."""
        if self.accounts.of(version).seen:
            return False
        return any(
            not self.accounts.of(other.spec).seen
            and key_of(other.spec) != key_of(version)
            and any(worker.state in _UNKNOWN for worker in other.pool.workers)
            for other in self.versions()
        )

    def _needed(self, claim: Claim) -> int:
        return self.accounts.of(claim.version).cost_of_more(claim.workers)

    def _is_on_its_way(self, claim: Claim) -> bool:
        """Return whether there will be room once those have left who are leaving, or now have to."""
        missing = self._needed(claim) - self._free - self._coming
        if missing <= 0:
            return True
        return self._make_room(missing, key_of(claim.version))

    def _make_room(self, missing: int, but: Key) -> bool:
        """Let the idle versions leave that were not used for longest; none if that would not be enough."""
        if missing <= 0:
            return True
        leavers, found = [], 0
        for version in self._idle_versions():
            if found >= missing:
                break
            if key_of(version.spec) != but:
                leavers.append(version)
                found += self.accounts.of(version.spec).reserved
        if found < missing:
            return False
        for version in leavers:
            self._let_leave(version)
        return True

    def _make_some_room(self, missing: int) -> None:
        """Let idle versions leave until there is enough, or none is left."""
        for version in self._idle_versions():
            if missing <= 0:
                return
            missing -= self.accounts.of(version.spec).reserved
            self._let_leave(version)

    def _idle_versions(self) -> list[ModelVersion]:
        """Return the versions that may leave, the one first that was not used for longest."""
        versions = self.versions()
        self._recency.look(versions, self.seconds())
        return sorted(filter(self._may_leave, versions), key=self._recency.used)

    def _may_leave(self, version: ModelVersion) -> bool:
        spec, pool = version.spec, version.pool
        if spec.pinned or spec.workflow is not None or key_of(spec) in self._leaving:
            return False
        if not self.accounts.of(spec).reserved or not pool.is_idle:
            return False
        return not any(worker.state is WorkerState.STARTING for worker in pool.workers)

    def _let_leave(self, version: ModelVersion) -> None:
        key = key_of(version.spec)
        account = self.accounts.of(version.spec)
        _log.info(
            "Model {model} version {version} leaves: memory is short, it was not used for {seconds:.1f} s.",
            model=key[0],
            version=key[1],
            seconds=self.seconds() - self._recency.used(version),
        )
        if account.workers:  # else it is but a template that has stayed
            self.evictions[key] = self.evictions.get(key, 0) + 1
            self._leaving.add(key)
        account.has_template = False  # it leaves as well
        self.evict(version)

    def _shortage(self, claim: Claim) -> MemoryShort:
        needed = self._needed(claim)
        return MemoryShort(
            claim.version.name,
            claim.version.version,
            needed,
            self.accounts.reserved,
            self.limit,
            is_seen=self.accounts.of(claim.version).seen > 0,
            retry_after=RETRY if needed <= self.limit else 0.0,
        )
