"""
What a version's batch size, delay and workers should be: a model of batches and workers, arithmetic alone.

The handler's time is a line over the size of a batch, fitted to what was seen. Callers are those that there
were, each of whom asks again when it has its answer; or, where a rate is given, requests that come whatever
is answered. How much of that time workers compute was measured, too: they share the processors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import inf, sqrt

from attrs import evolve, field

from modelserver.language.attributes import frozen
from modelserver.version_settings.values import AUTO_DELAY

FEWEST_REQUESTS, FEWEST_CALLS = 100, 20
"""What has to be seen before anything is said."""
SURE_CALLS = 300
LEAST_GAIN = 0.05
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FARTHEST = 4
"""How many times the largest batch that was seen a recommended one may have."""
_OUTSIDE, _RETURN = 0.0003, 0.001
"""Seconds of a batch outside its handler, and until callers that were answered ask again."""
_RARE = 3
"""Calls of a size, below which their mean says nothing: the first call of a handler often takes long."""
_QUANTILE = 2.33
"""Standard deviations above the mean that 99 of 100 do not exceed, of a normal distribution."""
_FULL = 0.9
"""The share of what workers could do, above which queues grow without end."""
_FRONT = 0.5
"""The share of a processor that is left to everything but workers."""
_ALIKE = 0.97
"""The share of the best rate from which on fewer workers and smaller batches are better."""
_BUSY, _BUSY_ALIKE = 3, 0.9
"""At busy times there are so many times the callers of the mean: batches should be large enough then, too.

There, a tenth has to be gained by larger batches: the callers are a guess, a large batch often takes more
than the line says, and fewer of them are shared less evenly by workers."""


@frozen
class SizeSeen:
    """Calls of a handler for batches of one size, and the seconds that they took together."""

    calls: int
    seconds: float


@frozen
class Choice:
    """
    Settings of a version.

    :param delay: seconds, or ``AUTO_DELAY``.
    """

    batch_size: int
    delay: float
    workers: int


@frozen
class Sharing:
    """How workers share processors; the parameters are those of ``Observed``."""

    processors: int
    computing: float = 1.0

    def slower(self, workers: float) -> float:
        """Return how many times longer the handlers of so many workers take than that of one alone."""
        return max(1.0, workers * self.computing / max(1.0, self.processors - _FRONT))


@frozen
class Observed:
    """
    What was counted of a version since it was registered.

    :param requests: those that were answered.
    :param seconds: from their arrival to their answer, of all together.
    :param sizes: the handler's calls, by the size of their batches.
    :param squares: the sum of the squares of the seconds of all calls.
    :param processors: those that workers may use.
    :param computing: the share of the handler's time in which a worker keeps a processor busy, from 0 to 1:
        one that waits for a network or a device leaves it to others. Where nothing is known, 1.
    """

    requests: int
    seconds: float
    sizes: Mapping[int, SizeSeen]
    squares: float
    current: Choice
    processors: int
    computing: float = 1.0

    @property
    def sharing(self) -> Sharing:
        """How workers slow each other down."""
        return Sharing(self.processors, self.computing)

    @property
    def calls(self) -> int:
        """Calls of the handler."""
        return sum(seen.calls for seen in self.sizes.values())

    @property
    def handler(self) -> float:
        """Seconds in the handler."""
        return sum(seen.seconds for seen in self.sizes.values())

    @property
    def callers(self) -> float:
        """How many requests there were at a time, in the mean, while there were any."""
        for_each = self.seconds / self.handler if self.handler else 0.0
        return max(1.0, for_each * self.current.workers if for_each > 1.5 else for_each)

    @property
    def spread(self) -> float:
        """The standard deviation of the handler's times as a share of their mean."""
        mean = self.handler / self.calls
        return sqrt(max(0.0, self.squares / self.calls - mean * mean)) / mean if mean else 0.0


@frozen
class Aims:
    """
    What the operator wants.

    :param p99: seconds that 99 of 100 requests may take; None: any.
    :param rate: requests a second that are to be served; None: as many as the present callers bring.
    """

    p99: float | None = None
    rate: float | None = None


@frozen
class Predicted:
    """Requests a second, and the seconds that 99 of 100 do not exceed."""

    rate: float
    p99: float


@frozen
class Advice:
    """
    What is recommended.

    :param verdict: ``change``, ``no change`` or ``not enough data``.
    :param gain: by how much the recommended settings are better: 0.5 is half as many requests more a second;
        of requests at a given rate, how much less 99 of 100 take.
    :param confidence: ``high``, ``medium`` or ``low``.
    """

    verdict: str
    reason: str
    current: Choice
    recommended: Choice
    now: Predicted | None = None
    then: Predicted | None = None
    gain: float = 0.0
    confidence: str = "low"
    notes: Sequence[str] = ()


@frozen
class Line:
    """
    The seconds of a call for batches of any size.

    :param fixed: and ``each`` for each request; where one size alone was seen (``only``), larger batches are
        taken to need in proportion more, and smaller ones as much.
    """

    fixed: float
    each: float
    only: int | None = None

    def of(self, size: float) -> float:
        """Return the seconds of a call for so many."""
        if self.only is None:
            return self.fixed + self.each * size
        return self.fixed * max(1.0, size / self.only)


def fit(sizes: Mapping[int, SizeSeen]) -> Line:
    """Return the line of handler times; neither part is negative."""
    often = {size: seen for size, seen in sizes.items() if seen.calls >= _RARE} or dict(sizes)
    if len(often) == 1:
        ((size, seen),) = often.items()
        return Line(seen.seconds / seen.calls, 0.0, size)
    # What was seen very often may not drown what was seen often enough.
    rows = [(float(min(seen.calls, 100)), size, seen.seconds / seen.calls) for size, seen in often.items()]
    weight = sum(row[0] for row in rows)
    size_mean = sum(row[0] * row[1] for row in rows) / weight
    mean = sum(row[0] * row[2] for row in rows) / weight
    variance = sum(row[0] * (row[1] - size_mean) ** 2 for row in rows)
    each = sum(row[0] * (row[1] - size_mean) * (row[2] - mean) for row in rows) / variance
    each = min(max(each, 0.0), mean / size_mean)
    return Line(mean - each * size_mean, each)


def of_callers(line: Line, spread: float, choice: Choice, callers: float, sharing: Sharing) -> Predicted:
    """Predict what so many callers get, each of whom asks again at once."""
    workers = min(float(choice.workers), callers)
    each = callers / workers
    slower = sharing.slower(workers)
    size, wait = _filling(line, choice, each, slower)
    cycle = line.of(size) * slower + _OUTSIDE + wait
    rate = workers * size / cycle
    services = max(1.0, each / size)
    return Predicted(rate, callers / rate * (1 + _QUANTILE * spread / sqrt(services)))


def _filling(line: Line, choice: Choice, callers: float, slower: float) -> tuple[float, float]:
    """Return how full the batches of a worker are, and how long they wait, with so many callers for it."""
    most = float(choice.batch_size)
    if most == 1 or callers >= 2 * most:
        return most, 0.0
    # Half of the callers are at work while the other half is gathering; or all go together, after a wait.
    halves, together = max(1.0, min(most, callers / 2)), max(1.0, min(most, callers))
    if choice.delay == 0:
        return halves, 0.0
    if choice.delay != AUTO_DELAY:
        return together, min(choice.delay, _RETURN) if callers >= most else choice.delay
    if callers < 1.5:
        return 1.0, 0.0
    rates = [
        (size / (line.of(size) * slower + _OUTSIDE + wait), size, wait)
        for size, wait in ((halves, 0.0), (together, _RETURN))
    ]
    return max(rates)[1:]


def at_rate(line: Line, spread: float, choice: Choice, rate: float, sharing: Sharing) -> Predicted:
    """Predict what requests get that come at a rate, whatever is answered."""
    slower = sharing.slower(choice.workers)
    most, for_each = float(choice.batch_size), rate / choice.workers
    delay = 0.0 if most == 1 or choice.delay == AUTO_DELAY else choice.delay

    def seconds(size: float) -> float:
        return line.of(size) * slower + _OUTSIDE

    used = for_each * seconds(most) / most
    if used >= _FULL:
        return Predicted(_FULL * choice.workers * most / seconds(most), inf)
    size = 1.0
    for _ in range(50):  # batches are as large as what comes while one is at work
        size = min(most, max(1.0, for_each * (seconds(size) + delay)))
    busy = min(1.0, for_each * seconds(size) / size)
    queue = seconds(size) * (busy + _QUANTILE * used / (1 - used) * (1 + spread * spread) / 2)
    waits = delay if size < most else min(delay, most / for_each)
    return Predicted(rate, waits + seconds(size) * (1 + _QUANTILE * spread) + queue)


def advise(observed: Observed, wanted: Aims | None = None) -> Advice:
    """Recommend settings."""
    wanted = wanted or Aims()
    current = observed.current
    if observed.requests < FEWEST_REQUESTS or observed.calls < FEWEST_CALLS or not current.workers:
        reason = (
            f"{observed.requests} requests in {observed.calls} calls of the handler were seen; "
            f"{FEWEST_REQUESTS} and {FEWEST_CALLS} are needed, and a worker."
        )
        return Advice("not enough data", reason, current, current)
    return _Search(observed, wanted, fit(observed.sizes)).run()


@frozen
class _Search:
    """Looks for the best choice."""

    observed: Observed
    wanted: Aims
    line: Line
    _spread: float = field(init=False)

    @_spread.default
    def _of_observed(self) -> float:
        return self.observed.spread

    def run(self) -> Advice:
        current = self.observed.current
        now = self._predict(current)
        found = [(each, self._predict(each)) for each in (current, *self._choices())]
        allowed = [each for each in found if self._is_allowed(each[1])]
        if not allowed:
            best, then = min(found, key=lambda each: each[1].p99)
            advice = self._advice("no change", current, now, then=now)
            limit = "the rate" if self.wanted.p99 is None else "p99"
            return evolve(advice, reason=f"No settings keep {limit}: {then.p99 * 1000:.0f} ms is the least.")
        best, then = self._best(allowed)
        gain = self._gain(now, then)
        if best == current or gain < LEAST_GAIN:
            return self._advice("no change", current, now, then=now)
        return evolve(self._advice("change", best, now, then), gain=gain)

    def _choices(self) -> Iterator[Choice]:
        largest = max(self.observed.sizes)
        for workers in range(1, max(self.observed.current.workers, self.observed.processors) + 1):
            for size in SIZES:
                if size > FARTHEST * largest:
                    break
                for delay in (0.0, AUTO_DELAY) if size > 1 else (0.0,):
                    yield Choice(size, delay, workers)

    def _predict(self, choice: Choice) -> Predicted:
        sharing = self.observed.sharing
        if self.wanted.rate is not None:
            return at_rate(self.line, self._spread, choice, self.wanted.rate, sharing)
        return of_callers(self.line, self._spread, choice, self.observed.callers, sharing)

    def _is_allowed(self, predicted: Predicted) -> bool:
        return predicted.p99 <= (inf if self.wanted.p99 is None else self.wanted.p99) and (
            self.wanted.rate is None or predicted.rate >= self.wanted.rate
        )

    def _best(self, allowed: Sequence[tuple[Choice, Predicted]]) -> tuple[Choice, Predicted]:
        """Return the best; of those that are about as good, the one with the fewest workers."""
        if self.wanted.rate is not None:
            fastest = min(predicted.p99 for _, predicted in allowed)
            alike = [each for each in allowed if each[1].p99 * _ALIKE <= fastest]
        else:
            highest = max(predicted.rate for _, predicted in allowed)
            alike = self._for_busy_times([each for each in allowed if each[1].rate >= _ALIKE * highest])
        return min(alike, key=lambda each: (each[0].workers, each[0].batch_size, each[1].p99, each[0].delay))

    def _for_busy_times(self, alike: Sequence[tuple[Choice, Predicted]]) -> list[tuple[Choice, Predicted]]:
        """Return those with the fewest workers, of which batches serve more callers nearly as well as any."""
        workers = min(choice.workers for choice, _ in alike)
        observed = self.observed
        rates = {
            choice: of_callers(
                self.line, self._spread, choice, _BUSY * observed.callers, observed.sharing
            ).rate
            for choice, _ in alike
            if choice.workers == workers
        }
        return [each for each in alike if rates.get(each[0], 0.0) >= _BUSY_ALIKE * max(rates.values())]

    def _gain(self, now: Predicted, then: Predicted) -> float:
        if self.wanted.rate is None:
            if not self._is_allowed(now):
                return max(then.rate / now.rate - 1, now.p99 / then.p99 - 1)
            return then.rate / now.rate - 1
        return inf if now.p99 == inf else now.p99 / then.p99 - 1

    def _advice(self, verdict: str, choice: Choice, now: Predicted, then: Predicted) -> Advice:
        return Advice(
            verdict=verdict,
            reason="The best settings gain under 5 %." if verdict == "no change" else "",
            current=self.observed.current,
            recommended=choice,
            now=now,
            then=then,
            confidence=self._confidence(choice),
            notes=self._notes(),
        )

    def _confidence(self, choice: Choice) -> str:
        largest = max(self.observed.sizes)
        if self.line.only is not None and choice.batch_size != self.line.only:
            return "low"
        is_seen = choice.batch_size <= largest
        return "high" if is_seen and self.observed.calls >= SURE_CALLS else "medium"

    def _notes(self) -> Sequence[str]:
        only = self.line.only
        if only is None:
            return ()
        return (
            f"Only batches of {only} were seen: what larger ones take is not known, and taken to be in "
            f"proportion. Registered with batch_size={FARTHEST * only}, the version would show it.",
        )
