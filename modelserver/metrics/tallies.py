"""The numbers that the request path adds to; each is found with one look into a dictionary."""

from __future__ import annotations

from bisect import bisect_left

from attrs import field

from modelserver.language.attributes import define
from modelserver.metrics.series import Observations

# The bounds of histograms of seconds, from a socket's round trip to the longest usual time-out.
SECONDS = (
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    60.0,
    120.0,
)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


def _seconds() -> Observations:
    return Observations(SECONDS)


def _sizes() -> Observations:
    return Observations(SIZES)


@define(eq=False)
class JobTally:
    """
    The jobs of one version whose clients named the version in the same way.

    :param asked: the version as clients named it, or ``default``.
    :param queue: seconds that the jobs waited for a worker.
    :param total: seconds from the jobs' arrival to their answers.
    """

    model: str
    version: str
    asked: str
    queue: Observations = field(factory=_seconds, init=False)
    total: Observations = field(factory=_seconds, init=False)


@define(eq=False)
class BatchTally:
    """
    The batches of one version.

    :param size: jobs in a batch.
    :param handler: seconds that the handler took for a batch.
    :param outside: seconds that a worker had a batch outside the handler.
    :param prediction_time: seconds that the handler took for the last batch; None once the declared metrics
        have the value.
    :param larger: batches of more than one job, and the handler's seconds for them, by their size.
    :param squares: the sum of the squares of the handler's seconds for each batch.
    """

    model: str
    version: str
    size: Observations = field(factory=_sizes, init=False)
    handler: Observations = field(factory=_seconds, init=False)
    outside: Observations = field(factory=_seconds, init=False)
    prediction_time: float | None = field(default=None, init=False)
    larger: dict[int, list[float]] = field(factory=dict, init=False)
    squares: float = field(default=0.0, init=False)

    def observe(self, jobs: int, batches: int, seconds: float, outside: float) -> None:
        """
        Count batches of like size together.

        :param seconds: that the handler took for all of them; counted by their size, too, where it is not 1.
        :param outside: seconds outside the handler, of all of them.
        """
        sizes, inside, beside = self.size, self.handler, self.outside
        sizes.counts[bisect_left(SIZES, jobs / batches)] += batches
        sizes.total += jobs
        mean = seconds / batches
        inside.counts[bisect_left(SECONDS, mean)] += batches
        inside.total += seconds
        beside.counts[bisect_left(SECONDS, outside / batches)] += batches
        beside.total += outside
        self.squares += seconds * mean
        if jobs > batches:
            seen = self.larger.get(jobs // batches)
            if seen is None:
                seen = self.larger[jobs // batches] = [0.0, 0.0]
            seen[0] += batches
            seen[1] += seconds


@define(eq=False)
class CallTally:
    """
    The gRPC calls of one method.

    :param codes: calls by the name of the code that they ended with.
    :param seconds: from the calls' arrival to their end.
    :param received: bytes of messages from clients, as they came.
    :param sent: the same, to clients.
    """

    method: str
    codes: dict[str, int] = field(factory=dict, init=False)
    seconds: Observations = field(factory=_seconds, init=False)
    received: int = field(default=0, init=False)
    sent: int = field(default=0, init=False)


@define(eq=False)
class RequestTallies:
    """
    What the request path has counted since the server's start.

    :param arrivals: accepted requests, by model and by the version that the client named (None: no version).
    :param answers: HTTP answers, by status code.
    :param calls: gRPC calls, by method.
    :param jobs: finished jobs, by model, version, and the version that the client named.
    :param batches: finished batches, by model and version.
    """

    arrivals: dict[tuple[str, str | None], int] = field(factory=dict, init=False)
    answers: dict[int, int] = field(factory=dict, init=False)
    calls: dict[str, CallTally] = field(factory=dict, init=False)
    jobs: dict[tuple[str, str, str | None], JobTally] = field(factory=dict, init=False)
    batches: dict[tuple[str, str], BatchTally] = field(factory=dict, init=False)
