"""Loads versions when they are asked, and lets them leave when memory is short."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from weakref import WeakKeyDictionary, WeakSet

from attrs import evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from modelserver.core.shortage import MemoryShort
from modelserver.core.version import ModelVersion
from modelserver.core.workers.restarts import BACKOFF
from modelserver.errors import InternalError, NoWorkers, ServingError, WorkersFailed
from modelserver.language.attributes import define, frozen
from modelserver.management.requests import RegisterRequest
from modelserver.management.service import Management
from modelserver.management.version_files import ArchiveChanged
from modelserver.spec import VersionSpec
from modelserver.version_settings.values import WorkerRange

MOST_KILLS = 3
"""Times that the workers of one load may be killed by somebody; they are started again by their own rules."""
LONGEST_SETBACK = 300.0
"""Seconds that requests are told at most why the last load has failed, before another one tries."""

LOADED, FAILED, REFUSED = "loaded", "failed", "no_memory"
"""What becomes of loads, as metrics have it."""

_log = Logger()


@frozen
class _Setback:
    """Why the last load failed, how many did in a row, and when (monotonic) a request may try again."""

    reason: str
    failures: int
    until: float


@define(eq=False)
class LoadOnRequest:
    """
    Brings the workers of versions that have none: of archives that are only known, and of those that left.

    A load is one however many requests wait for it. One that fails answers all of them with the cause; those
    that come soon after it are answered so at once, for a longer time after each failure.

    :param seconds: the clock (monotonic).
    :param waits: a version for which there is no memory waits until there is some; else requests are refused.
    :param outcomes: loads by version and by what became of them.
    """

    management: Management
    seconds: Callable[[], float]
    waits: bool = False
    outcomes: dict[tuple[str, str, str], int] = field(factory=dict, init=False)
    _loading: WeakSet[ModelVersion] = field(factory=WeakSet, init=False)
    _returning: WeakSet[ModelVersion] = field(factory=WeakSet, init=False)
    _setbacks: WeakKeyDictionary[ModelVersion, _Setback] = field(factory=WeakKeyDictionary, init=False)

    async def know(self, request: RegisterRequest) -> VersionSpec:
        """
        Serve a version of an archive that is loaded when the first request comes.

        :raises VersionExists: this version is registered already.
        :raises ServingError: the archive is not there, or breaks a rule.
        """
        version = await self.management.know(request)
        self._expect(version)
        spec = version.spec
        _log.info(
            "Model {model} version {version} is known; its first request loads it.",
            model=spec.name,
            version=spec.version,
        )
        return spec

    def evict(self, version: ModelVersion) -> None:
        """Let a version leave that nobody uses: its workers end, its files stay; a request loads it again."""
        pool, spec = version.pool, version.spec
        if not pool.waking.is_open:  # else somebody brings its workers already
            # Registered with other numbers, it was scaled since.
            version.renew(evolve(spec, workers=WorkerRange(pool.minimum, pool.maximum)))
            self._returning.add(version)
            self._expect(version)
        pool.scale(0, 0, drain=0.0)
        self.management.providers.backend.retire(spec.name, spec.version)
        self.management.changed()

    def _expect(self, version: ModelVersion) -> None:
        version.is_on_request = True
        version.pool.waking.open(partial(self._bring, version), version.spec.timeouts.load)

    def _bring(self, version: ModelVersion) -> None:
        """Load a version, unless it is being loaded, or has failed to a moment ago."""
        setback = self._setbacks.get(version)
        if setback is not None and self.seconds() < setback.until:
            self._answer(version, setback)
        elif version not in self._loading:
            self._loading.add(version)
            loading = Deferred.fromCoroutine(self._load(version))
            loading.addErrback(lambda failure: _log.failure("A load on request", failure))

    async def _load(self, version: ModelVersion) -> None:
        try:
            await self._try(version)
        finally:
            self._loading.discard(version)
        is_awaited = version.pool.waking.is_under_way and not version.pool.workers
        if is_awaited and self.management.is_served(version):  # somebody has taken its workers away
            self._bring(version)

    async def _try(self, version: ModelVersion) -> None:
        try:
            await self.management.files.open(version)
            is_loaded = await self._start(version)
        except MemoryShort as error:
            self._count(version, REFUSED)
            version.pool.waking.fail(error)
        except ArchiveChanged as error:
            self._fail(version, error)
            await self._know_again(version)
        except ServingError as error:
            self._fail(version, error)
        except Exception:  # whatever it was, nobody shall wait for it
            _log.failure("A load on request ended in an error of the server")
            self._fail(version, InternalError())
        else:
            if is_loaded:
                self._count(version, LOADED)
                self._setbacks.pop(version, None)
                self._settle(version)
                # The server may be to decide how many workers it has from now on.
                self.management.follow(version)

    async def _start(self, version: ModelVersion) -> bool:
        """Start the workers, and return whether they have loaded: not if nobody waits for them any more."""
        pool, workers, memory = version.pool, version.spec.workers, self.management.providers.memory
        least = max(1, workers.minimum)
        if memory is not None:
            await memory.claim(version.spec, least - len(pool.workers), self.waits)
        if not self.management.is_served(version):
            return False
        if not version.queue.waiting:
            pool.waking.end()
            return False
        if not pool.workers:
            pool.scale(least, max(least, workers.maximum))
            self.management.changed()
        for kills in range(MOST_KILLS + 1):
            try:
                await pool.when_settled()
                break
            except WorkersFailed as error:
                if kills == MOST_KILLS or error.failure is None or error.failure.cause != "signal":
                    raise
        return self.management.is_served(version) and pool.ready > 0

    def _settle(self, version: ModelVersion) -> None:
        """Hold no more requests for a version that has returned, and is not one that comes on request."""
        if version in self._returning:
            self._returning.discard(version)
            version.is_on_request = False
            version.pool.waking.close()

    def _fail(self, version: ModelVersion, error: ServingError) -> None:
        """Answer everybody with the cause, and end what has been started."""
        if not self.management.is_served(version):
            return
        failure = error.failure if isinstance(error, WorkersFailed) else None
        before = self._setbacks.get(version)
        failures = 1 if before is None else before.failures + 1
        delay = min(BACKOFF[min(failures, len(BACKOFF)) - 1], LONGEST_SETBACK)
        setback = _Setback(str(failure or error), failures, self.seconds() + delay)
        self._setbacks[version] = setback
        self._count(version, FAILED)
        _log.error(
            "Model {model} version {version} cannot be loaded: {why}",
            model=version.spec.name,
            version=version.spec.version,
            why=setback.reason,
        )
        self._answer(version, setback)
        version.pool.scale(0, 0, drain=0.0)

    def _answer(self, version: ModelVersion, setback: _Setback) -> None:
        left = max(0.0, setback.until - self.seconds())
        spec = version.spec
        version.pool.waking.fail(NoWorkers(spec.name, spec.version, setback.reason, retry_after=left))

    async def _know_again(self, version: ModelVersion) -> None:
        """Look anew at an archive that says other things than before; its old version is served no more."""
        request, spec = self.management.files.request_of(version), version.spec
        if request is not None:
            await self.management.withdraw(spec.name, spec.version, drain=0.0, keeps_download=True)
            await self.know(request)

    def _count(self, version: ModelVersion, outcome: str) -> None:
        key = version.spec.name, version.spec.version, outcome
        self.outcomes[key] = self.outcomes.get(key, 0) + 1
