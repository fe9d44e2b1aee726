"""One batch that a worker has in hand, and what comes back of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from attrs import field

from modelserver.errors import ServingError
from modelserver.jobs import Answer, Job
from modelserver.language.attributes import define


@define(eq=False)
class Batch:
    """
    Jobs that a worker has.

    :param number: names the batch between the server and the worker process.
    :param jobs: those that are not answered yet.
    :param pipelined: the handler is called for each job by itself, in order: they only travel together.
    :param started: when the worker can have begun to work on them, in the clock's (monotonic) seconds.
    :param ahead: it was sent so that the worker begins each call only if it is not taken back before.
    :param done: jobs that were answered before the others, of those pipelined.
    :param full: jobs whose observers can take no more parts at present: the handler is held at its next one.
    """

    number: int
    jobs: Sequence[Job]
    pipelined: bool
    started: float
    ahead: bool = False
    done: int = 0
    full: set[Job] = field(factory=set, init=False)

    @property
    def calls(self) -> int:
        """Return how often the handler will be called."""
        return len(self.jobs) if self.pipelined else 1

    @property
    def current(self) -> Sequence[Job]:
        """Return the jobs of the handler's present call."""
        return self.jobs[:1] if self.pipelined else self.jobs

    def index_of(self, job: Job) -> int:
        """Return the place of ``job`` in the batch as it was sent."""
        return self.done + self.jobs.index(job)

    def call_of(self, place: int) -> Sequence[Job]:
        """Return the jobs of the call for the job at ``place`` of the batch as sent; none: it is over."""
        at = place - self.done
        if not 0 <= at < len(self.jobs):
            return ()
        return self.jobs[at : at + 1] if self.pipelined else self.jobs

    def cut(self, count: int) -> Sequence[Job]:
        """
        Take out the jobs that an answer is for.

        :raises LookupError: ``count`` is not a number of answers that the worker may send next.
        """
        jobs = self.jobs
        if count == len(jobs):
            self.jobs = ()
            return jobs
        if not self.pipelined or not 0 < count < len(jobs):
            raise LookupError(f"{count} answers to a batch of {len(jobs)}")
        self.jobs = jobs[count:]
        self.done += count
        return jobs[:count]

    def cut_last(self, calls: int) -> Sequence[Job]:
        """Take out the jobs of the last ``calls`` calls, which the handler will not make."""
        jobs = self.jobs
        left = len(jobs) - calls if self.pipelined else 0
        self.jobs = jobs[:left]
        return jobs[left:]


class Times(NamedTuple):
    """
    When calls of a handler came back, and how long they took in all.

    :param now: when they came back, in the clock's (monotonic) seconds.
    :param handler: seconds in the handler.
    :param total: seconds since the worker could begin.
    """

    now: float
    handler: float
    total: float


# A named tuple's own constructor is a function of Python's.
times_of: Callable[[tuple[float, float, float]], Times] = partial(tuple.__new__, Times)

Settled = tuple[Sequence[Job], Sequence[Answer | ServingError], int, Times]
"""Jobs with an answer for each, of so many calls of the handler."""
