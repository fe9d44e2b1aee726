"""What a worker has in hand: what the pool asks of it, whatever the mode, and the pace of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from modelserver.core.workers.batch import Batch, Settled
from modelserver.errors import InternalError, ServingError
from modelserver.interfaces import WorkerProcess
from modelserver.jobs import FINISHED, STREAMING, Answer, Job, StreamedParts, bodies_of
from modelserver.language.attributes import define
from modelserver.spec import WorkerFailure
from modelserver.version_settings.values import Timeouts

_log = Logger()

MANY = 8
"""Batches that a worker has in hand at most where many jobs wait."""
LEAST = 0.00025
"""Seconds that a call takes, below which its answer is there before the server has gone to sleep."""

_PLAIN = frozenset((Answer,))
"""The type of parts that are no errors."""

AnswerWatch = Callable[[Sequence[Job], Sequence[Answer | ServingError]], None]
"""Is shown the answers, or parts of them, that came for jobs, before the jobs' observers are told."""


@define(eq=False)
class Pace:
    """
    How fast a worker answers.

    :param calls: calls of the handler that came back, over all of the worker's processes.
    :param seconds: of all these calls.
    :param mean: seconds that a call takes, averaged with more weight on the last ones; None before the first.
    """

    calls: int = 0
    seconds: float = 0.0
    mean: float | None = None

    def learn(self, seconds: float, calls: int) -> None:
        """Count ``calls`` that took ``seconds`` each."""
        mean = self.mean
        self.mean = seconds if mean is None else mean + (seconds - mean) * min(1.0, calls / 8)
        self.calls += calls
        self.seconds += seconds * calls


class InFlight(Protocol):
    """
    The batches that one worker has in hand. Each mode of a version has its own rules for them.

    It is the ``holder`` of the jobs in these batches. Times are the clock's (monotonic) seconds.
    """

    process: WorkerProcess | None
    """Where batches go; None while the worker has no process."""
    load: int
    """How many calls of the handler are in hand."""
    pace: Pace

    @property
    def batches(self) -> Sequence[Batch]:
        """The batches in hand, those sent first first."""

    @property
    def room(self) -> int:
        """How many more batches the worker may be given now; none while it is not ready."""

    @property
    def behind(self) -> int:
        """How many calls are in hand beside the present one: not begun, or done and not reported."""

    @property
    def begun(self) -> float:
        """When the present call can have begun, in the clock's seconds; 0 where there is none."""

    @property
    def jobs_ahead(self) -> int:
        """How many jobs these calls are for."""

    @property
    def bytes_ahead(self) -> int:
        """How many bytes the bodies of these jobs have."""

    def assign(self, jobs: Sequence[Job], pipelined: bool = False) -> None:
        """Send a batch, or several of one job each that travel together; it leaves at ``flush``."""

    def flush(self) -> None:
        """Let the batches of this turn leave."""

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """
        Take the answers of a batch; they are kept until ``take_settled``.

        :raises LookupError: no such batch can be answered now, or it has another number of jobs.
        """

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """
        Hand parts of a streamed batch to its jobs; they buy ``response`` seconds more.

        :param answers: a part for each job, then the next part, and so on.

        :raises LookupError: no such batch can be answered now, or it has another number of jobs.
        """

    @property
    def settled(self) -> Sequence[Settled]:
        """The jobs that were answered since ``take_settled`` was called last, in order."""

    def take_settled(self) -> Sequence[Settled]:
        """Return, once, the jobs that were answered since the last call, in order."""

    def take_back(self) -> None:
        """Have the jobs of calls that are not begun wait in the queue again."""

    def dropped(self, number: int, calls: int) -> None:
        """
        Note that the worker has passed over calls that were taken back.

        :raises LookupError: these were not.
        """

    def collect(self) -> None:
        """Have the answers that are done, if the worker keeps some: the present call takes long."""

    def open(self) -> None:
        """Let there be room: the worker is ready."""

    def close(self) -> None:
        """
        Have no room, and watch the batches in hand no more: the worker is in another state.

        What is not begun waits in the queue again.
        """

    def lose(self, failure: WorkerFailure) -> Sequence[Batch]:
        """
        Release all jobs, for the process is gone, and return them.

        The first batch is the one whose present call may have ended the process.
        """

    def cancel_stream(self, job: Job) -> None:
        """Have the handler told that the client of ``job`` is gone."""

    def resume(self, job: Job) -> None:
        """Let the handler send further parts for ``job``, whose observer can take them again."""


class MakeInFlight(Protocol):
    """Makes the empty ``InFlight`` of one worker."""

    def __call__(
        self,
        timeouts: Timeouts,
        clock: IReactorTime,
        timed_out: Callable[[], None],
    ) -> InFlight: ...


def pass_parts_on(jobs: Sequence[Job], answers: Sequence[Answer | ServingError]) -> Iterator[tuple[Job, int]]:
    """
    Give each job its parts of a streamed answer.

    Yield those whose observers can take no more now, each at once, with the bytes of its parts.

    :param answers: one for each job, then the next part, and so on.
    """
    count = len(jobs)
    for place, job in enumerate(jobs):
        if job.state is FINISHED:
            if job.holder is not None:  # nobody reads it any more, and the handler does not know
                job.holder.cancel_stream(job)
            continue
        own = answers if count == 1 else answers[place::count]
        parts: Sequence[Answer] = own  # type: ignore[assignment]  # as is asked for next
        error: ServingError | None = None
        # Through all of them in three calls: streams have many parts, nearly all of them plain.
        if type(own) is not StreamedParts and not (
            _PLAIN.issuperset(map(type, own)) and all(bodies_of(parts))
        ):
            parts, error = _up_to_error(own)
        if parts:
            job.state = STREAMING
            try:
                can_take = job.observer.next_parts(job, parts)
            except Exception:
                # A defect of who waited: the others get their parts, and the worker did nothing wrong.
                _log.failure("Parts of an answer could not be handed over")
                job.fail(InternalError())
                continue
            if not can_take:
                yield job, sum(map(len, bodies_of(parts)))
        if error is not None:
            job.fail(error)


def _up_to_error(own: Sequence[Answer | ServingError]) -> tuple[list[Answer], ServingError | None]:
    """Return the parts that are not empty, up to the first error, and that."""
    parts: list[Answer] = []
    for part in own:
        if not isinstance(part, Answer):
            return parts, part
        if part.body:
            parts.append(part)
    return parts, None


def are_parts(answers: Sequence[object], jobs: Sequence[Job]) -> bool:
    """Return whether there are as many answers for each of the jobs."""
    return len(answers) > 0 and not len(answers) % len(jobs)
