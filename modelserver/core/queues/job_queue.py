"""What a pool asks of the queue of its version, whatever the mode; and what a queue asks of workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from modelserver.errors import ServingError
from modelserver.jobs import Job


class Hand(Protocol):
    """What a worker has in hand."""

    @property
    def room(self) -> int:
        """How many more batches the worker may be given now."""

    @property
    def load(self) -> int:
        """How many calls of the handler are in hand."""

    @property
    def jobs_ahead(self) -> int:
        """How many jobs are in hand whose call is not begun: they count as waiting."""

    @property
    def bytes_ahead(self) -> int:
        """How many bytes the bodies of these jobs have."""


class Taker(Protocol):
    """A worker, as a queue knows it."""

    @property
    def id(self) -> str:
        """The worker's name, never used again."""

    @property
    def in_flight(self) -> Hand:
        """What the worker has in hand."""


AnyTaker = TypeVar("AnyTaker", bound=Taker)


class JobQueue(Protocol):
    """The jobs that wait for one version of a model."""

    @property
    def pipelined(self) -> bool:
        """Whether the jobs of ``next_batch`` are each a batch by itself, and only travel together."""

    @property
    def frees_when_settled(self) -> bool:
        """Whether answers make jobs due only once the observers of the answered jobs have been told."""

    @property
    def closed(self) -> ServingError | None:
        """Why no job is taken any more; None while jobs are."""

    def jobs(self) -> Iterable[Job]:
        """Return the jobs that wait, in no particular order."""

    @property
    def waiting(self) -> int:
        """How many jobs wait, those whose clients have left not counted; costs a look at each."""

    @property
    def length(self) -> int:
        """How many jobs wait, also of clients who have left."""

    @property
    def size(self) -> int:
        """How many bytes of bodies wait."""

    def put(self, job: Job) -> None:
        """
        Let a job wait.

        :raises QueueFull: as many jobs or bytes wait as may.
        :raises ServingError: what ``close`` was given, after it.
        """

    def has_room_for(self, jobs: int) -> bool:
        """Return whether so many more jobs may wait, as far as that does not depend on what they are."""

    def put_back(self, jobs: list[Job]) -> None:
        """Take jobs that a worker could not finish, whatever the limits say."""

    def next_batch(self, workers: Sequence[AnyTaker]) -> tuple[AnyTaker, Sequence[Job]] | None:
        """
        Take the next batch that is due for one of ``workers``, and say for which; None when there is none.

        Which worker gets it is the queue's to say, since the rule depends on the mode.
        """

    @property
    def present_delay(self) -> float:
        """The seconds that a batch waits for others at present."""

    @property
    def learns(self) -> bool:
        """Whether ``learn`` is to be called, before the batch behind an answer is asked for."""

    def learn(self, jobs: int, calls: int, seconds: float) -> None:
        """
        Take in how long the handler took.

        :param jobs: those of all calls, which were of like size.
        :param seconds: of all calls.
        """

    def worker_gone(self, worker: str, reason: str) -> None:
        """
        Note that a worker has no process any more, whatever its handler kept for later jobs.

        :param worker: its id.
        """

    def fail_all(self, error: ServingError) -> None:
        """Answer every waiting job with ``error``."""

    def close(self, error: ServingError) -> None:
        """Take no more jobs; those that come now are refused with ``error``."""
