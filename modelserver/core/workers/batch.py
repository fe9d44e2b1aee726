"""What a worker has in hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from attrs import define, field

from modelserver.jobs import Job


@define(eq=False)
class Batch:
    """
    Jobs that a worker has.

    :param jobs: those that are not answered yet.
    :param pipelined: the handler is called for each job by itself, in order: they only travel together.
    :param started: when the worker can have begun to work on them.
    """

    number: int
    jobs: Sequence[Job]
    pipelined: bool
    started: float
    done: int = 0
    """Jobs that were answered before the others, of those that are apart."""
    full: set[Job] = field(factory=set, init=False)
    """Jobs whose observers can take no more parts at present: the handler is held at its next one."""

    @property
    def calls(self) -> int:
        """How often the handler will be called."""
        return len(self.jobs) if self.pipelined else 1

    @property
    def current(self) -> Sequence[Job]:
        """The jobs of the handler's present call."""
        return self.jobs[:1] if self.pipelined else self.jobs

    def cut(self, count: int) -> Sequence[Job]:
        """
        Take out the jobs that an answer is for.

        :raises LookupError: it has not the number of answers that it should have.
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


class Times(NamedTuple):
    """
    When calls of a handler came back, on the clock, and how long they took in all, in seconds.

    :param handler: in the handler.
    :param total: since the worker could begin.
    """

    now: float
    handler: float
    total: float
