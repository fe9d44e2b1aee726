"""The memory that all workers may take together, and which idle versions leave when it is short."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import field
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from modelserver.core.gpus import ANY
from modelserver.core.version import ModelVersion
from modelserver.core.workers.placement import gpus_of
from modelserver.devices import HOST, Bank
from modelserver.language.attributes import define
from modelserver.management.memory.accounts import Accounts, Key, key_of
from modelserver.management.memory.claims import Claims
from modelserver.management.memory.recency import Recency
from modelserver.management.memory.room import Need, Room
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

    :param limits: bytes, of this machine's memory and of each GPU's; what is not there has no limit.
    :param groups: the GPUs that one worker of a version may be given: so many each; empty for none.
    :param versions: those that are served.
    :param seconds: the clock (monotonic).
    :param evict: ends the workers of an idle version.
    :param changed: is called when a worker can be measured.
    :param evictions: versions that had to leave so far.
    """

    limits: dict[Bank, int]
    versions: Callable[[], Sequence[ModelVersion]]
    seconds: Callable[[], float]
    evict: Callable[[ModelVersion], object] = lambda version: version.pool.scale(0, 0)
    changed: Callable[[], object] = lambda: None
    groups: Callable[[VersionSpec], Sequence[tuple[int, ...]]] = lambda spec: ()
    accounts: Accounts = field(factory=Accounts)
    room: Room = field(init=False)
    evictions: dict[Key, int] = field(factory=dict, init=False)
    _recency: Recency = field(factory=Recency, init=False)
    _claims: Claims = field(factory=Claims, init=False)
    _leaving: set[Key] = field(factory=set, init=False)
    _granted: Key | None = field(default=None, init=False)
    """The version whose claim is being granted: it may reserve more, although others wait."""
    _is_settling: bool = field(default=False, init=False)
    _is_stale: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.room = Room(self.limits, self.accounts, self.groups)

    @property
    def is_on(self) -> bool:
        """Whether there is a limit."""
        return bool(self.limits)

    # What the interface asks.

    def reserve(self, version: VersionSpec, workers: int) -> int:
        """Return how many more workers may start now; see to it that there is room for the others."""
        if not self.is_on or version.placement.is_elsewhere:
            return workers
        need = Need(version, workers)
        banks = self.room.banks(need)
        if key_of(version) != self._granted and any(
            banks & self.room.banks(each.need) for each in self._claims
        ):
            return 0
        if self._is_behind_unknown(version):
            return 0
        count = self.room.workers(need, self.room.free())
        if count < workers:
            self._make_room(need)
        return count

    def claim(
        self, version: VersionSpec, workers: int, waits: bool = False, on_gpus: int | None = None
    ) -> Deferred[None]:
        """Fire when so many more workers may start; the order of claims is kept."""
        if workers <= 0 or not self.is_on or version.placement.is_elsewhere:
            return succeed(None)
        need = Need(version, workers, on_gpus)
        if not self.room.banks(need):
            return succeed(None)
        claim = self._claims.add(need, waits)
        self.settle()
        return claim.granted

    def free_on_gpus(self) -> Mapping[int, int]:
        """Return the bytes that are free on each GPU that has a limit."""
        return self.room.free_on_gpus() if self.room.gpus else ANY

    def placed(self, worker: WorkerSpec) -> None:
        """Count a worker that is being started, on its GPUs, too."""
        self.accounts.of(worker.version).count(1, gpus_of(worker))

    def moved(self, before: WorkerSpec, after: WorkerSpec) -> None:
        """Count a worker on other GPUs; who may start now is seen at the next look."""
        account = self.accounts.of(before.version)
        account.count_on(-1, gpus_of(before))
        account.count_on(1, gpus_of(after))

    def loaded(self, worker: WorkerSpec) -> None:
        """Have a worker measured that has loaded its model."""
        self.changed()

    def left(self, worker: WorkerSpec) -> None:
        """Count a worker no more, and see who may start now."""
        account = self.accounts.of(worker.version)
        account.count(-1, gpus_of(worker))
        if not account.workers:
            self._leaving.discard(key_of(worker.version))
        self.settle()

    def figures(self, version: VersionSpec) -> Mapping[Bank, MemoryFigures]:
        """Return what one more worker of a version takes, and what there is, of each memory with a limit."""
        return {} if version.placement.is_elsewhere else self.room.figures(version)

    def obstacle(self, version: VersionSpec) -> str:
        """Return which GPUs' memory has no room for one more worker, with numbers; empty: it is not that."""
        need = Need(version, 1)
        short = self.room.short(need, self.room.free())
        if not short or HOST in short or version.placement.is_elsewhere:
            return ""
        return self.room.shortage(need, 0.0).figures

    # What is seen from time to time.

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for memory."""
        return len(self._claims) > 0

    def measured(
        self, version: VersionSpec, worker: int, template: int, gpu: int = 0, is_loaded: bool = True
    ) -> None:
        """
        Note what was measured of a version.

        :param worker: bytes of its largest worker that has loaded, 0 if none has.
        :param template: bytes of its template, 0 if there is none.
        :param gpu: the most bytes that one of its workers has of each of its GPUs, 0 if none tells of any.
        :param is_loaded: a worker of it was looked at that has loaded.
        """
        account = self.accounts.of(version)
        account.seen = max(account.seen, worker)
        account.template = max(account.template, template)
        account.has_template = template > 0
        account.seen_on_gpu = max(account.seen_on_gpu, gpu)
        account.is_measured |= is_loaded

    def look(self) -> None:
        """Note who was used, grant what can be granted; idle versions leave where there is too little."""
        versions = self.versions()
        self._recency.look(versions, self.seconds())
        self.accounts.forget([key_of(version.spec) for version in versions])
        self._mend()
        self.settle()

    def turn_off(self) -> None:
        """Have no limit of this machine's memory any more: it cannot be read. Who waits for it may start."""
        self.limits.pop(HOST, None)
        if self.is_on:
            self.settle()
            return
        for claim in self._claims:
            self._claims.grant(claim)

    # Steps.

    def _free_soon(self) -> dict[Bank, int]:
        """What is free once those have left who are leaving."""
        free = self.room.free()
        for version in self.versions():
            if key_of(version.spec) in self._leaving:
                _add(free, self.room.held(version.spec))
        return free

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
        awaited: set[Bank] = set()  # by those who came before
        for claim in self._claims:
            need = claim.need
            is_free = not awaited & self.room.banks(need)
            if is_free and not self._is_behind_unknown(need.version):
                if not self.room.short(need, self.room.free()):
                    self._granted = key_of(need.version)
                    self._claims.grant(claim)
                    self._granted = None
                    self._is_stale = True
                    return
                if self._make_room(need):
                    return  # it is on its way
            elif is_free:
                return  # it is soon known what there is
            is_possible = self.room.is_possible(need)
            if not claim.waits or not is_possible:
                error = self.room.shortage(need, RETRY if is_possible else 0.0, awaited)
                self._claims.refuse(claim, error)
                self._is_stale = True
                return
            awaited |= self.room.short(need, self.room.free())

    def _is_behind_unknown(self, version: VersionSpec) -> bool:
        """Return whether a version of unknown size has to wait until another such one was measured."""
        if self._is_known(version):
            return False
        return any(
            not self._is_known(other.spec)
            and key_of(other.spec) != key_of(version)
            and any(worker.state in _UNKNOWN for worker in other.pool.workers)
            for other in self.versions()
        )

    def _is_known(self, version: VersionSpec) -> bool:
        """Return whether a version's size is known; that on GPUs may be told later, or never."""
        account = self.accounts.of(version)
        return account.seen > 0 if HOST in self.limits else account.is_measured

    def _make_room(self, need: Need) -> bool:
        """
        Let the idle versions leave that were not used for longest; none if that would not be enough.

        Only those leave that have something of what is short. Return whether there will be room.
        """
        free = self._free_soon()
        leavers: list[ModelVersion] = []
        for version in self._idle_versions():
            if not (short := self.room.short(need, free)):
                break
            held = self.room.held(version.spec)
            if key_of(version.spec) != key_of(need.version) and any(held[bank] for bank in short):
                leavers.append(version)
                _add(free, held)
        if self.room.short(need, free):
            return False
        if self.room.gpus:
            self._keep_unneeded(need, leavers, free)
        for version in leavers:
            self._let_leave(version)
        return True

    def _keep_unneeded(self, need: Need, leavers: list[ModelVersion], free: dict[Bank, int]) -> None:
        """Let those stay without whom there is room: one GPU has enough, and they have another."""
        for version in reversed(tuple(leavers)):
            held = self.room.held(version.spec)
            without = {bank: size - held[bank] for bank, size in free.items()}
            if not self.room.short(need, without):
                leavers.remove(version)
                free = without

    def _mend(self) -> None:
        """Where more is set aside than there is, let idle versions leave until it is not, or none is left."""
        free = self._free_soon()
        if all(size >= 0 for size in free.values()):
            return
        for version in self._idle_versions():
            held = self.room.held(version.spec)
            if any(size < 0 and held[bank] for bank, size in free.items()):
                _add(free, held)
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


def _add(free: dict[Bank, int], held: Mapping[Bank, int]) -> None:
    for bank, size in held.items():
        free[bank] += size
