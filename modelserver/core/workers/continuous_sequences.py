"""Stateful models with continuous batching: a sequence goes on while its last request is being answered."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from modelserver.core.workers.concurrent import ConcurrentWorker
from modelserver.core.workers.sequences import SequencePool, SequenceQueue
from modelserver.errors import ServingError
from modelserver.jobs import Answer, Job


@define(eq=False)
class LiveSequenceQueue(SequenceQueue):
    """Hands out a request of a sequence when its handler has seen the one before it, answered or not."""

    _unseen: set[Job] = field(factory=set, init=False)

    def take_one(self, worker: str, is_idle: bool) -> Job | None:
        """The oldest request that may join those that a worker has; some join only if it has none."""
        self._unseen = {job for job in self._unseen if job.held}
        for job, sequence in self.waiting_for(worker):
            may_join = is_idle or not job.exclusive
            if may_join and not self._unseen.intersection(sequence.in_hand):
                sequence.hand_out(worker, self.clock.seconds())
                self._unseen.add(job)
                return job
        return None

    def see(self, job: Job) -> None:
        """A handler has had this request, and goes on with it."""
        self._unseen.discard(job)


@define(eq=False)
class LiveSequenceWorker(ConcurrentWorker):
    """A worker whose answers and parts may end sequences."""

    sequences: LiveSequenceQueue = field(kw_only=True)

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """See which sequences end, and hand out the answers."""
        self.sequences.note_ended_sequences(answers)
        super().answered(number, answers, seconds)

    def part_arrived(self, number: int, answers: Sequence[Answer | ServingError]) -> None:
        """See which sequences end, and which may go on, and hand out the parts."""
        self.sequences.note_ended_sequences(answers)
        for batch in self.in_hand:
            if batch.number == number:
                self.sequences.see(batch.jobs[0])
        super().part_arrived(number, answers)


@define(eq=False)
class LiveSequencePool(SequencePool):
    """Has requests join the workers of their sequences, one by one."""

    sequences: LiveSequenceQueue = field(kw_only=True)

    def dispatch(self) -> None:
        """Hand out what may join: new sequences go where there are fewest."""
        self._scheduled = False
        for worker in sorted(self.workers, key=lambda each: self.sequences.sequences_of(each.id)):
            while worker.room > 0:
                job = self.sequences.take_one(worker.id, not worker.in_hand)
                if job is None:
                    break
                worker.assign([job])
            worker.flush()
