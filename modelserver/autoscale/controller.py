"""Looks at the versions whose number of workers the server decides, and has management change it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from attrs import evolve, field
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from modelserver.autoscale.judge import Judge, Observation
from modelserver.autoscale.observation import observe
from modelserver.autoscale.policy import Load, Reason, Verdict
from modelserver.core.providers import CoreProviders
from modelserver.core.version import ModelVersion
from modelserver.core.workers.demand import Demand
from modelserver.errors import ServingError
from modelserver.language.attributes import define
from modelserver.spec import ScaleDecision

INTERVAL = 0.1
"""Seconds between two looks at a version that has workers; one without is looked at when a job comes."""

_log = Logger()


class Resize(Protocol):
    """Changes the number of a version's workers; one that is served no more is left alone."""

    def __call__(self, version: ModelVersion, workers: int) -> object: ...


@define(eq=False)
class _Elastic:
    """A version that is watched: what is counted, what is remembered, and what could not be done last."""

    demand: Demand
    judge: Judge = field(factory=Judge, init=False)
    trouble: str = field(default="", init=False)


@define(eq=False)
class Autoscaler:
    """
    Decides for every version that wants it; costs nothing while none does.

    :param is_served: whether a version is still in the registry.
    :param resize: management's own way to change the number of workers.
    """

    providers: CoreProviders
    is_served: Callable[[ModelVersion], bool]
    resize: Resize
    _watched: dict[ModelVersion, _Elastic] = field(factory=dict, init=False)
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self.look)
        self._loop.clock = self.providers.clock

    def follow(self, version: ModelVersion) -> None:
        """Decide for a version from now on, or no more, as its settings say: they may have changed."""
        scaling, pool = version.scaling, version.pool
        if not scaling.is_on:
            self._leave(version)
            return
        if version not in self._watched:
            pool.demand = Demand()
            self._watched[version] = _Elastic(pool.demand)
        if scaling.bounds.maximum > 0:
            pool.waking.open(partial(self._wake, version), version.spec.timeouts.load)
        else:
            pool.waking.close()
        if not self._loop.running:
            self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Decide nothing any more."""
        for version in list(self._watched):
            self._leave(version)

    def _leave(self, version: ModelVersion) -> None:
        if self._watched.pop(version, None) is not None:
            version.pool.demand = None
            version.pool.waking.close()
        if not self._watched and self._loop.running:
            self._loop.stop()

    def look(self) -> None:
        """Look at every version that has workers, and change what is to be changed."""
        for version, watched in list(self._watched.items()):
            if not self.is_served(version):
                self._leave(version)
            elif version.pool.workers:
                self._decide(version, watched)

    def _wake(self, version: ModelVersion) -> None:
        """Decide for a version without workers that a job waits for, as soon as there is room for one."""
        memory = self.providers.memory
        if memory is None:
            self._awake(version)
            return
        claimed = memory.claim(version.spec, 1)
        claimed.addCallbacks(lambda _: self._awake(version), lambda failure: self._refuse(version, failure))

    def _awake(self, version: ModelVersion) -> None:
        watched = self._watched.get(version)
        if watched is not None and version.pool.waking.is_under_way:
            self._decide(version, watched)

    def _refuse(self, version: ModelVersion, failure: Failure) -> None:
        """Tell those who wait why there is no worker for them."""
        if not isinstance(failure.value, ServingError):
            failure.raiseException()
        version.pool.waking.fail(failure.value)

    def _decide(self, version: ModelVersion, watched: _Elastic) -> None:
        scaling, judge = version.scaling, watched.judge
        now = self.providers.clock.seconds()
        seen = observe(version, watched.demand, now)
        load = judge.take_in(now, seen, scaling.settings, scaling.bounds)
        wanted = judge.decide(load, scaling.settings, scaling.bounds)
        more = wanted.workers - seen.workers
        memory = self.providers.memory
        if more > 0 and memory is not None and (fewer := memory.reserve(version.spec, more)) < more:
            load = evolve(load, affordable=seen.workers + fewer)
            wanted = judge.decide(load, scaling.settings, scaling.bounds)
        if wanted.reason is not None:
            text = sentence(wanted, seen, load)
            if wanted.reason is Reason.MEMORY and memory is not None:
                why = memory.obstacle(version.spec)
                text += f"; one more {why}" if why else ""
            self._carry_out(version, watched, wanted, text)

    def _carry_out(self, version: ModelVersion, watched: _Elastic, wanted: Verdict, text: str) -> None:
        """Have a decision done and noted; one that cannot be done is logged, once for the same reason."""
        assert wanted.reason is not None
        spec, scaling, present = version.spec, version.scaling, len(version.pool.workers)
        if wanted.workers == present:
            if scaling.last is None or scaling.last.reason != wanted.reason.value:
                self._note(version, wanted, text)
            return
        try:
            self.resize(version, wanted.workers)
        except ServingError as error:
            if watched.trouble != str(error):
                watched.trouble = str(error)
                _log.warn(
                    "Model {name} version {version} cannot have {workers} workers: {error}",
                    name=spec.name,
                    version=spec.version,
                    workers=wanted.workers,
                    error=str(error),
                )
            if not present:
                version.pool.waking.fail(error)
            return
        watched.trouble = ""
        self._note(version, wanted, text)
        if not wanted.workers and not scaling.settings.keep_template:
            self.providers.backend.retire(spec.name, spec.version)

    def _note(self, version: ModelVersion, wanted: Verdict, text: str) -> None:
        assert wanted.reason is not None
        spec, reason = version.spec, wanted.reason.value
        version.scaling.last = ScaleDecision(wanted.workers, reason, text, self.providers.now())
        self.providers.recorder.scale_decided(spec.name, spec.version, reason)
        _log.info(
            "Model {name} version {version}: workers wanted: {workers}; {text}",
            name=spec.name,
            version=spec.version,
            workers=wanted.workers,
            text=text,
        )


def sentence(wanted: Verdict, seen: Observation, load: Load) -> str:
    """Say why there are to be so many workers."""
    before = seen.workers
    match wanted.reason:
        case Reason.LOAD:
            return f"{load.rate:.3g} requests a second are too many (workers: {before})"
        case Reason.BACKLOG:
            return f"too many requests wait: {load.waiting} (workers: {before})"
        case Reason.CALM:
            return f"fewer have been enough for a while (workers: {before})"
        case Reason.IDLE:
            return f"no request has come for {load.idle:.0f} s"
        case Reason.WAKE:
            return f"requests came while there was no worker (waiting: {load.waiting})"
        case Reason.MEMORY:
            return f"memory allows no more (workers: {before})"
    return f"the bounds have moved (workers: {before})"
