"""Stateful models: the requests of one sequence go to one worker, in order, one at a time."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall

from modelserver.core.queues.batch_queue import BatchAggregator
from modelserver.core.workers.batch import Batch
from modelserver.core.workers.pool import WorkerPool
from modelserver.core.workers.worker import Worker
from modelserver.errors import NoWorkers, QueueFull, ServingError
from modelserver.jobs import Answer, Job
from modelserver.spec import WorkerFailure
from modelserver.version_settings.values import Sequences


@define(eq=False)
class OneSequence:
    """
    Requests that belong together.

    :param worker: who has the state, None before the first one is handed out.
    :param in_hand: the request that the worker has, or had last; of a continuous version, all that it has.
    """

    id: str
    began: float
    touched: float
    worker: str | None = None
    in_hand: list[Job] = field(factory=list)
    jobs: deque[Job] = field(factory=deque)
    timer: IDelayedCall | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a worker is at work for it."""
        return any(job.held for job in self.in_hand)

    @property
    def next(self) -> Job | None:
        """The oldest request that waits."""
        while self.jobs and self.jobs[0].finished:
            self.jobs.popleft()
        return self.jobs[0] if self.jobs else None

    def hand_out(self, worker: str, now: float) -> None:
        """Its oldest request goes to a worker."""
        self.in_hand = [job for job in self.in_hand if job.held]
        self.in_hand.append(self.jobs.popleft())
        self.worker, self.touched = worker, now


@define(eq=False)
class SequenceQueue(BatchAggregator):
    """
    Keeps requests by their sequences; ``take_for`` makes a batch of one request of each of several.

    A sequence ends when it has been idle for ``rules.max_idle`` seconds, is ``rules.timeout`` seconds old, or
    an answer says so.

    :param share: sequences that one worker may have.
    """

    rules: Sequences = field(kw_only=True)
    share: int = field(kw_only=True)
    _sequences: dict[str, OneSequence] = field(factory=dict, init=False)

    @property
    def waiting(self) -> int:
        """How many requests wait, those whose clients have left not counted."""
        return sum(not job.finished for sequence in self._sequences.values() for job in sequence.jobs)

    @property
    def length(self) -> int:
        """How many requests wait."""
        return sum(len(sequence.jobs) for sequence in self._sequences.values())

    @property
    def size(self) -> int:
        """How many bytes of bodies wait."""
        return sum(len(job.body) for sequence in self._sequences.values() for job in sequence.jobs)

    def put(self, job: Job) -> None:
        """
        Let a request wait for its turn in its sequence; one without an id begins a sequence.

        :raises QueueFull: there are as many sequences, or as many requests of this one wait, as may.
        """
        if self.closed is not None:
            raise self.closed
        name = sequence_of(job, self.rules)
        sequence = self._sequences.get(name)
        if sequence is None:
            if len(self._sequences) >= self.rules.max_sequences:
                raise QueueFull(self.model, self.version, self.rules.max_sequences, "maxNumSequence")
            now = self.clock.seconds()
            sequence = self._sequences[name] = OneSequence(name, now, now)
            self._watch(sequence)
        elif sum(not each.finished for each in sequence.jobs) >= self.rules.max_jobs:
            raise QueueFull(self.model, self.version, self.rules.max_jobs, "maxSequenceJobQueueSize")
        sequence.jobs.append(job)
        sequence.touched = self.clock.seconds()

    def put_back(self, jobs: list[Job]) -> None:
        """No other worker has the state of their sequences: they fail."""
        for job in jobs:
            job.fail(NoWorkers(self.model, self.version, "the worker of the sequence is gone"))

    def take(self, for_later: bool = False, most: int = 1) -> list[Job]:
        """Nothing: what is handed out depends on who asks."""
        return []

    def take_for(self, worker: str) -> list[Job]:
        """The batch that is due for a worker: of its own sequences, and of new ones if it may have more."""
        ready = [(job, sequence) for job, sequence in self.waiting_for(worker) if not sequence.is_busy]
        if not ready:
            return []
        is_full = len(ready) >= self.batch_size or self.batch_size == 1
        if not is_full and not self._is_old(ready[0][0]):
            return []
        for _, sequence in ready[: self.batch_size]:
            sequence.hand_out(worker, self.clock.seconds())
        return [job for job, _ in ready[: self.batch_size]]

    def waiting_for(self, worker: str) -> list[tuple[Job, OneSequence]]:
        """The oldest request of each sequence that is the worker's or may become so; the oldest first."""
        own = [each for each in self._sequences.values() if each.worker == worker]
        fresh = [each for each in self._sequences.values() if each.worker is None]
        able = [*own, *fresh[: max(0, self.share - len(own))]]
        waiting = [(job, each) for each in able if (job := each.next) is not None]
        return sorted(waiting, key=lambda pair: pair[0].arrived)

    def note_ended_sequences(self, answers: Sequence[Answer | ServingError]) -> None:
        """End the sequences that answers say have ended."""
        for answer in answers:
            if isinstance(answer, Answer) and answer.head:
                for name in ended_by(answer, self.rules):
                    if name in self._sequences:
                        error = NoWorkers(self.model, self.version, "the sequence has ended")
                        self._end(self._sequences[name], error)

    def sequences_of(self, worker: str) -> int:
        """How many sequences a worker has."""
        return sum(each.worker == worker for each in self._sequences.values())

    def drop_worker(self, worker: str, error: ServingError) -> None:
        """The state of a worker's sequences is lost: they end."""
        for sequence in [each for each in self._sequences.values() if each.worker == worker]:
            self._end(sequence, error)

    def fail_all(self, error: ServingError) -> None:
        """End every sequence."""
        for sequence in list(self._sequences.values()):
            self._end(sequence, error)
        super().fail_all(error)

    def _watch(self, sequence: OneSequence) -> None:
        at = sequence.touched + self.rules.max_idle
        if self.rules.timeout:
            at = min(at, sequence.began + self.rules.timeout)
        delay = max(0.0, at - self.clock.seconds())
        sequence.timer = self.clock.callLater(delay, self._look_at, sequence)

    def _look_at(self, sequence: OneSequence) -> None:
        """Its time may be over: a sequence with a request at work or waiting is not idle."""
        now, timeout = self.clock.seconds(), self.rules.timeout
        if sequence.is_busy or sequence.next is not None:
            sequence.touched = now
        is_old = timeout > 0 and now >= sequence.began + timeout
        if is_old or now >= sequence.touched + self.rules.max_idle:
            self._end(sequence, NoWorkers(self.model, self.version, "the sequence has expired"))
        else:
            self._watch(sequence)

    def _end(self, sequence: OneSequence, error: ServingError) -> None:
        if self._sequences.get(sequence.id) is sequence:
            del self._sequences[sequence.id]
        if sequence.timer is not None and sequence.timer.active():
            sequence.timer.cancel()
        for job in sequence.jobs:
            job.fail(error)


@define(eq=False)
class SequenceWorker(Worker):
    """A worker whose answers may end sequences."""

    sequences: SequenceQueue = field(kw_only=True)

    def answered(self, number: int, answers: Sequence[Answer | ServingError], seconds: float) -> None:
        """See which sequences end, and hand out the answers."""
        self.sequences.note_ended_sequences(answers)
        super().answered(number, answers, seconds)


@define(eq=False)
class SequencePool(WorkerPool):
    """Gives each worker the requests of the sequences whose state it has."""

    sequences: SequenceQueue = field(kw_only=True)

    def dispatch(self) -> None:
        """Hand out what is due: new sequences go where there are fewest."""
        self._scheduled = False
        for worker in sorted(self.workers, key=lambda each: self.sequences.sequences_of(each.id)):
            if worker.room and not worker.in_hand:
                jobs = self.sequences.take_for(worker.id)
                if jobs:
                    worker.assign(jobs)
                    worker.flush()

    def worker_has_room(self, worker: Worker) -> None:
        """Only once its answers are handed out is a sequence free for its next request."""
        self.schedule()

    def worker_lost(self, worker: Worker, batches: Sequence[Batch], failure: WorkerFailure) -> None:
        """The state of its sequences is gone with it."""
        super().worker_lost(worker, batches, failure)
        self._drop(worker, str(failure))

    def worker_stopped(self, worker: Worker) -> None:
        """The same for one that was to leave."""
        super().worker_stopped(worker)
        self._drop(worker, "the worker of the sequence was stopped")

    def _drop(self, worker: Worker, why: str) -> None:
        self.sequences.drop_worker(worker.id, NoWorkers(self.spec.name, self.spec.version, why))


def ended_by(answer: Answer, rules: Sequences) -> list[str]:
    """The sequences that a handler ends with its answer."""
    wanted = rules.end_header.lower().encode("latin-1")
    for line in answer.head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == wanted:
            return [each.strip() for each in value.decode("latin-1").split(";")]
    return []


def sequence_of(job: Job, rules: Sequences) -> str:
    """The sequence that a request names; one that names none begins its own, and its handler is told so."""
    wanted = rules.id_header.lower().encode("latin-1")
    for line in job.head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == wanted and value.strip():
            return value.strip().decode("latin-1")
    text = job.id.hex()
    made = f"ts-seq-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    extra = json.loads(job.extra) if job.extra else {}
    extra["headers"] = {**extra.get("headers", {}), rules.id_header: made, rules.start_header: "true"}
    job.extra = json.dumps(extra).encode()
    return made
