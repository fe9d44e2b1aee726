"""Asks the policy about one version, with its present load and what matters of the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from attrs import evolve, field

from modelserver.autoscale.arrivals import Arrivals
from modelserver.autoscale.policy import CallCost, Load, Rules, Verdict, decide, workers_for_calm
from modelserver.language.attributes import define, frozen
from modelserver.version_settings.values import Autoscaling, WorkerRange

LOADS = 20.0
"""A worker goes after as many times the seconds that one needs to load, or the delay if that is longer."""
LONGEST_DELAY = 600.0
"""Seconds after which a worker goes in any case."""


@frozen
class Observation:
    """
    What a version and its workers show at one moment; fields that ``Load`` has, too, are explained there.

    :param arrived: requests that have come since the version is watched.
    :param costs: what calls of the handler cost, by the number of their jobs.
    :param loading: seconds that a worker needs to load, as far as is known.
    """

    workers: int = 0
    is_failing: bool = False
    waiting: int = 0
    in_hand: int = 0
    arrived: int = 0
    costs: Mapping[int, CallCost] = field(factory=dict)
    stuck: float = 0.0
    slots: int = 1
    loading: float = 0.0


@define(eq=False)
class Judge:
    """
    Decides how many workers one version is to have, observation by observation.

    Times are the clock's (monotonic) seconds.
    """

    _arrivals: Arrivals = field(factory=Arrivals, init=False)
    _needs: deque[tuple[float, int]] = field(factory=deque, init=False)
    _arrived: int = field(default=0, init=False)
    _active: float | None = field(default=None, init=False)

    def take_in(self, now: float, seen: Observation, settings: Autoscaling, bounds: WorkerRange) -> Load:
        """Remember an observation, and return the load that follows from it and from earlier ones."""
        call = min(seen.costs.values(), key=lambda cost: cost.seconds, default=CallCost(0.0)).seconds
        self._arrivals.note(now, seen.arrived, was_asleep=not seen.workers)
        if self._active is None or seen.arrived != self._arrived or seen.waiting or seen.in_hand:
            self._active = now
        self._arrived = seen.arrived
        load = Load(
            workers=seen.workers,
            is_failing=seen.is_failing,
            waiting=seen.waiting,
            in_hand=seen.in_hand,
            rate=self._arrivals.rate(call),
            costs=seen.costs,
            stuck=seen.stuck,
            slots=seen.slots,
            idle=now - self._active,
        )
        self._needs.append((now, self._calm(load, call, rules_of(settings, bounds))))
        delay = max(settings.down_delay, min(LONGEST_DELAY, LOADS * seen.loading))
        while len(self._needs) > 1 and now - self._needs[1][0] >= delay:
            self._needs.popleft()
        if now - self._needs[0][0] < delay:  # not watched for so long
            self._needs[0] = (self._needs[0][0], max(self._needs[0][1], seen.workers))
        return load

    def _calm(self, load: Load, call: float, rules: Rules) -> int:
        """Return the workers that are enough now; a load that surely falls needs nothing on top."""
        falling = self._arrivals.falling_rate(call)
        if falling is not None:
            return workers_for_calm(evolve(load, rate=falling), rules, margin=1.0)
        return workers_for_calm(evolve(load, rate=self._arrivals.upper_rate(call)), rules)

    def decide(self, load: Load, settings: Autoscaling, bounds: WorkerRange) -> Verdict:
        """Decide by the load that ``take_in`` has returned, with ``affordable`` set where memory is short."""
        calm = max((need for _, need in self._needs), default=load.workers)
        return decide(load, rules_of(settings, bounds), calm)


def rules_of(settings: Autoscaling, bounds: WorkerRange) -> Rules:
    """Return what the policy is to know of a version's settings."""
    return Rules(bounds, settings.queue_time, settings.idle_timeout)
