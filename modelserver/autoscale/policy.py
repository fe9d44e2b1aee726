"""
How many workers a version is to have: a pure function of what the server knows.

Two questions are asked of what was measured. How many workers does the load need now (``workers_needed``)?
And how many has it needed at any moment of the last seconds, with something on top (``workers_for_calm``)?
Fewer than the first is too few, more than the second is too many; between the two everything stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from math import exp

from attrs import field

from modelserver.language.attributes import frozen
from modelserver.version_settings.values import WorkerRange

LATE = 0.1
"""The share of requests that may wait longer than the target."""
HORIZON = 0.5
"""Seconds in which workers are to work off what has piled up, or the time of one call if that is longer."""
MARGIN = 1.1
"""By how much the load may grow after a worker has gone before one is missing, unless it surely falls."""
BUSIEST = 0.95
"""The share of their time that workers may be busy, whatever the target."""


class Reason(Enum):
    """Why the number of workers changes, or does not although it should. The values are for metrics."""

    LOAD = "load"
    """Requests come faster than so few workers can serve within the target."""
    BACKLOG = "backlog"
    """More requests wait than can be served soon."""
    CALM = "calm"
    """Fewer workers have been enough for a while."""
    IDLE = "idle"
    """No request has come for a long time."""
    WAKE = "wake"
    """A request came while there was no worker."""
    BOUNDS = "bounds"
    """There were fewer or more workers than are allowed."""
    MEMORY = "memory"
    """More workers are needed than memory allows."""


@frozen
class CallCost:
    """
    What calls of the handler with equally many jobs cost.

    :param seconds: that a call takes, on the average.
    :param spread: the variance of the seconds, as a multiple of the square of their mean.
    """

    seconds: float
    spread: float = 0.0


@frozen
class Load:
    """
    What the server knows of a version at one moment. Times are seconds.

    :param workers: those that are ready or on their way.
    :param is_failing: none of them is ready, and the start of one has failed.
    :param waiting: jobs that no worker has begun.
    :param in_hand: jobs that workers have begun.
    :param rate: jobs that arrive in a second, now.
    :param costs: what calls cost, by the jobs of each; empty before the first has come back.
    :param stuck: for how long all workers have been in their present calls; 0 where one has none.
    :param slots: calls of the handler that a worker has at work side by side.
    :param idle: for how long nothing has come, waited or been at work.
    :param affordable: workers that memory allows in all, None where it does not limit them.
    """

    workers: int = 0
    is_failing: bool = False
    waiting: int = 0
    in_hand: int = 0
    rate: float = 0.0
    costs: Mapping[int, CallCost] = field(factory=dict)
    stuck: float = 0.0
    slots: int = 1
    idle: float = 0.0
    affordable: int | None = None


@frozen
class Rules:
    """
    What the operator wants. Times are seconds.

    :param queue_time: that 9 of 10 requests wait at most.
    :param idle_timeout: after which the last worker goes, where the bounds allow none.
    """

    bounds: WorkerRange
    queue_time: float
    idle_timeout: float


@frozen
class Verdict:
    """How many workers there are to be, and why that is another number than before, or None."""

    workers: int
    reason: Reason | None = None


@frozen
class _Work:
    """
    A version's work.

    :param busy: workers that what arrives keeps busy, on the average.
    :param behind: workers that it takes to work off, in time, what has piled up.
    :param call: what one call costs.
    """

    busy: float
    behind: float
    call: CallCost


def decide(load: Load, rules: Rules, calm: int) -> Verdict:
    """
    Decide how many workers a version is to have.

    :param calm: the most that ``workers_for_calm`` has returned since the number may come down; a version of
        which too little is known for that gives its present number.
    """
    if load.is_failing:
        return Verdict(load.workers)  # when it is started again, the restart rules say
    least, most = _bounds(load, rules)
    wanted, reason = _by_load(load, rules, calm)
    allowed = min(max(wanted, least), most)
    if allowed == load.workers:
        asked = min(max(wanted, rules.bounds.minimum), rules.bounds.maximum)
        return Verdict(allowed, Reason.MEMORY if asked > allowed else None)
    is_inside = rules.bounds.minimum <= load.workers <= rules.bounds.maximum
    return Verdict(allowed, reason if is_inside or not load.workers else Reason.BOUNDS)


def _bounds(load: Load, rules: Rules) -> tuple[int, int]:
    """Return the least and the most workers: memory goes before the operator's bounds."""
    least, most = rules.bounds.minimum, rules.bounds.maximum
    if load.affordable is None:
        return least, most
    return min(least, load.affordable), min(most, load.affordable)


def _by_load(load: Load, rules: Rules, calm: int) -> tuple[int, Reason]:
    """Return the workers that the load asks for, and why, whatever the bounds say."""
    if load.workers == 0:
        return (max(1, workers_needed(load, rules)) if load.waiting else 0), Reason.WAKE
    if load.idle >= rules.idle_timeout:
        return 0, Reason.IDLE
    needed = max(1, workers_needed(load, rules))
    if needed > load.workers:
        is_rate = workers_needed(load, rules, is_rate_only=True) > load.workers
        return needed, Reason.LOAD if is_rate else Reason.BACKLOG
    return min(load.workers, max(calm, needed, 1)), Reason.CALM


def workers_needed(load: Load, rules: Rules, is_rate_only: bool = False) -> int:
    """
    Return the fewest workers with which 9 of 10 requests wait no longer than the target.

    :param is_rate_only: as if nothing had piled up.
    """
    work = _work_of(load)
    if work is None:
        return min(1, load.waiting + load.in_hand)
    behind = 0.0 if is_rate_only else work.behind
    return _fewest(work.busy + behind, work.call, rules)


def workers_for_calm(load: Load, rules: Rules, margin: float = MARGIN) -> int:
    """
    Return the fewest workers with which a load that is somewhat larger than this one is served.

    :param margin: how many times as large.
    """
    work = _work_of(load)
    if work is None:
        return load.workers
    return _fewest(work.busy * margin + work.behind, work.call, rules)


def _work_of(load: Load) -> _Work | None:
    """
    Return the work of a version; None while nothing is known of its calls.

    Calls that go on for longer than others took count only where jobs pile up behind them: one that is late
    is no reason for anything.
    """
    known = load.costs.items()
    size, call = min(known, key=lambda pair: pair[1].seconds / pair[0], default=(1, CallCost(0.0)))
    each = size * load.slots
    longest = max(call.seconds, load.stuck)
    piled_up = max(0, load.waiting - max(1, load.workers) * each)
    behind = piled_up * longest / each / max(HORIZON, longest)
    if not load.costs:
        return _Work(0.0, behind, CallCost(longest)) if behind else None
    busy = load.rate * call.seconds / each
    return _Work(busy, behind, CallCost(call.seconds / load.slots, call.spread))


def _fewest(busy: float, call: CallCost, rules: Rules) -> int:
    """
    Return the fewest workers of which few enough requests wait longer than the target, or the most allowed.

    That is Erlang's formula for those that wait at all (C), and an exponential tail for how long they do,
    which falls the faster the less the times of calls are spread (Allen and Cunneen).

    :param busy: workers that would be busy on the average.
    """
    most = max(1, rules.bounds.maximum)
    if busy <= 0 or call.seconds <= 0:
        return 0
    blocked = 1.0  # Erlang B
    for workers in range(1, most):
        blocked = busy * blocked / (workers + busy * blocked)
        if busy >= workers * BUSIEST:
            continue
        waits = blocked / (1 - busy / workers * (1 - blocked))
        ends = (workers - busy) / call.seconds * 2 / (1 + call.spread)
        if waits * exp(-ends * rules.queue_time) <= LATE:
            return workers
    return most
