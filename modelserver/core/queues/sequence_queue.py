"""Stateful models: the requests of one sequence go to one worker, in order."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.core.queues.batch_delay import BatchDelay
from modelserver.core.queues.job_queue import AnyTaker, Hand
from modelserver.errors import NoWorkers, QueueFull, ServingError
from modelserver.jobs import Answer, Job
from modelserver.language.attributes import define
from modelserver.protocol.header_block import answer_lines, header_values
from modelserver.version_settings.values import Sequences


@define(eq=False)
class OneSequence:
    """
    Requests that belong together.

    :param began: when the first one came, in the clock's (monotonic) seconds, as all times here.
    :param touched: when the last one came, or went to a worker.
    :param worker: the id of the worker that has the state, None before the first one is handed out.
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
        """Whether a worker has a request of the sequence."""
        return any(job.holder is not None for job in self.in_hand)

    @property
    def next(self) -> Job | None:
        """The oldest request that waits."""
        while self.jobs and self.jobs[0].finished:
            self.jobs.popleft()
        return self.jobs[0] if self.jobs else None

    def hand_out(self, worker: str, now: float) -> None:
        """Note that the oldest request goes to a worker."""
        self.in_hand = [job for job in self.in_hand if job.holder is not None]
        self.in_hand.append(self.jobs.popleft())
        self.worker, self.touched = worker, now


Waiting = Sequence[tuple[Job, OneSequence]]
"""The oldest waiting request of each of several sequences; the oldest first."""


class HandOut(Protocol):
    """Which requests of its sequences a worker gets next."""

    pipelined: bool
    """Whether they are each a batch by itself."""

    def choose(self, waiting: Waiting, hand: Hand) -> Waiting:
        """
        Return those of ``waiting`` that go to a worker now.

        :param hand: what the worker has, with room for a batch.
        """

    def answers_came(self, jobs: Sequence[Job]) -> None:
        """Note that answers or parts of answers came for ``jobs``."""

    def stop(self) -> None:
        """Wait for nothing any more."""


@define(eq=False)
class OneOfEach:
    """A batch of one request of each of several sequences, for a worker that has nothing else in hand."""

    batch_size: int
    delay: BatchDelay
    pipelined: bool = field(default=False, init=False)

    def choose(self, waiting: Waiting, hand: Hand) -> Waiting:
        """Return a batch if one is full, or the oldest request has waited enough."""
        ready = [] if hand.load else [pair for pair in waiting if not pair[1].is_busy]
        if not ready:
            return []
        is_full = len(ready) >= self.batch_size
        return ready[: self.batch_size] if is_full or self.delay.is_over(ready[0][0].request.arrived) else []

    def answers_came(self, jobs: Sequence[Job]) -> None:
        """Change nothing: a sequence goes on when its request has been answered."""

    def stop(self) -> None:
        """Watch the oldest request no more."""
        self.delay.stop()


@define(eq=False)
class Joining:
    """
    Continuous batching: a request joins those that the worker has, as soon as there is room.

    A sequence goes on when the handler has seen its last request, answered or not.
    """

    pipelined: bool = field(default=True, init=False)
    _unseen: set[Job] = field(factory=set, init=False)

    def choose(self, waiting: Waiting, hand: Hand) -> Waiting:
        """Return the requests that may join; one that wants the worker to itself joins only if it is idle."""
        self._unseen = {job for job in self._unseen if job.holder is not None}
        room, is_idle = hand.room, not hand.load
        joining: list[tuple[Job, OneSequence]] = []
        for job, sequence in waiting:
            may_join = not job.exclusive or (is_idle and not joining)
            if may_join and not self._unseen.intersection(sequence.in_hand):
                joining.append((job, sequence))
                self._unseen.add(job)
            if len(joining) == room or (joining and joining[-1][0].exclusive):
                break
        return joining

    def answers_came(self, jobs: Sequence[Job]) -> None:
        """Note that the handler has had these requests, and goes on with them."""
        self._unseen.difference_update(jobs)

    def stop(self) -> None:
        """Do nothing: there is no timer."""


@define(eq=False)
class SequenceQueue:
    """
    Keeps requests by their sequences, each of which stays with one worker.

    A sequence ends when it has been idle for ``rules.max_idle`` seconds, is ``rules.timeout`` seconds old, or
    an answer says so. A look for the next batch costs O(workers x sequences).

    :param hand_out: which requests of its sequences a worker gets.
    :param share: sequences that one worker may have.
    """

    model: str
    version: str
    clock: IReactorTime
    hand_out: HandOut
    rules: Sequences
    share: int
    closed: ServingError | None = field(default=None, init=False)
    _sequences: dict[str, OneSequence] = field(factory=dict, init=False)
    _begun: int = field(default=0, init=False)
    _latest: dict[str, int] = field(factory=dict, init=False)
    """The number of the last sequence that a worker was given, by the worker's id."""

    frees_when_settled, learns = True, False

    @property
    def pipelined(self) -> bool:
        """Whether the jobs of ``next_batch`` are each a batch by itself."""
        return self.hand_out.pipelined

    @property
    def present_delay(self) -> float:
        """Nothing: a delay is chosen for no sequence."""
        return 0.0

    def learn(self, jobs: int, calls: int, seconds: float) -> None:
        """Change nothing: the delay is fixed."""

    def jobs(self) -> Iterable[Job]:
        """Return the requests that wait, by sequence."""
        return [job for sequence in self._sequences.values() for job in sequence.jobs]

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
        return sum(len(job.request.body) for sequence in self._sequences.values() for job in sequence.jobs)

    def put(self, job: Job) -> None:
        """
        Let a request wait for its turn in its sequence; one without an id begins a sequence.

        :raises QueueFull: there are as many sequences, or as many requests of this one wait, as may.
        :raises ServingError: what ``close`` was given, after it.
        """
        if self.closed is not None:
            raise self.closed.with_traceback(None)
        name = sequence_of(job, self.rules)
        sequence = self._sequences.get(name)
        if sequence is None:
            if len(self._sequences) >= self.rules.max_sequences:
                raise QueueFull(self.model, self.version, self.rules.max_sequences, "maxNumSequence")
            now = self.clock.seconds()
            sequence = self._sequences[name] = OneSequence(name, now, now)
            self._watch(sequence)
        elif not self.has_room_in(name):
            raise QueueFull(self.model, self.version, self.rules.max_jobs, "maxSequenceJobQueueSize")
        sequence.jobs.append(job)
        sequence.touched = self.clock.seconds()

    def has_room_for(self, jobs: int) -> bool:
        """Return yes: it depends on their sequences."""
        return True

    def has_room_in(self, name: str) -> bool:
        """Return whether another request of a sequence may wait."""
        sequence = self._sequences.get(name)
        return sequence is None or sum(not each.finished for each in sequence.jobs) < self.rules.max_jobs

    def put_back(self, jobs: list[Job]) -> None:
        """Fail jobs that a worker could not finish: no other one has the state of their sequences."""
        for job in jobs:
            job.fail(self._no_workers("the worker of the sequence is gone"))

    def next_batch(self, workers: Sequence[AnyTaker]) -> tuple[AnyTaker, Sequence[Job]] | None:
        """
        Take the next batch that is due for one of ``workers``.

        New sequences go where there are fewest; of several such workers, to the one whose last is the oldest.
        """
        for worker in sorted(workers, key=lambda each: self._busyness(each.id)):
            hand = worker.in_flight
            chosen = self.hand_out.choose(self._waiting_for(worker.id), hand) if hand.room > 0 else ()
            if chosen:
                for _, sequence in chosen:
                    if sequence.worker is None:
                        self._begun += 1
                        self._latest[worker.id] = self._begun
                    sequence.hand_out(worker.id, self.clock.seconds())
                return worker, [job for job, _ in chosen]
        return None

    def _waiting_for(self, worker: str) -> Waiting:
        """Return the oldest request of each sequence that is the worker's or may become so."""
        own = [each for each in self._sequences.values() if each.worker == worker]
        fresh = [each for each in self._sequences.values() if each.worker is None]
        able = [*own, *fresh[: max(0, self.share - len(own))]]
        waiting = [(job, each) for each in able if (job := each.next) is not None]
        return sorted(waiting, key=lambda pair: pair[0].request.arrived)

    def _busyness(self, worker: str) -> tuple[int, int]:
        sequences = sum(each.worker == worker for each in self._sequences.values())
        return sequences, self._latest.get(worker, 0)

    def answers_came(self, jobs: Sequence[Job], answers: Sequence[Answer | ServingError]) -> None:
        """End the sequences that answers, or parts of them, say have ended."""
        self.hand_out.answers_came(jobs)
        for answer in answers:
            if isinstance(answer, Answer) and answer.header_block:
                for name in ended_by(answer, self.rules):
                    if name in self._sequences:
                        self._end(self._sequences[name], self._no_workers("the sequence has ended"))

    def end_sequence(self, name: str) -> None:
        """End a sequence, if there is one of this name: its client will send no more."""
        sequence = self._sequences.get(name)
        if sequence is not None:
            self._end(sequence, self._no_workers("the sequence has ended"))

    def worker_gone(self, worker: str, reason: str) -> None:
        """End the sequences of a worker: their state is lost."""
        self._latest.pop(worker, None)
        for sequence in [each for each in self._sequences.values() if each.worker == worker]:
            self._end(sequence, self._no_workers(reason))

    def fail_all(self, error: ServingError) -> None:
        """End every sequence, and answer every waiting request with ``error``."""
        for sequence in list(self._sequences.values()):
            self._end(sequence, error)
        self.hand_out.stop()

    def close(self, error: ServingError) -> None:
        """Take no more requests; those that come now are refused with ``error``."""
        self.closed = error

    def _watch(self, sequence: OneSequence) -> None:
        at = sequence.touched + self.rules.max_idle
        if self.rules.timeout:
            at = min(at, sequence.began + self.rules.timeout)
        delay = max(0.0, at - self.clock.seconds())
        sequence.timer = self.clock.callLater(delay, self._look_at, sequence)

    def _look_at(self, sequence: OneSequence) -> None:
        """End a sequence whose time is over; one with a request at work or waiting is not idle."""
        now, timeout = self.clock.seconds(), self.rules.timeout
        if sequence.is_busy or sequence.next is not None:
            sequence.touched = now
        is_old = timeout > 0 and now >= sequence.began + timeout
        if is_old or now >= sequence.touched + self.rules.max_idle:
            self._end(sequence, self._no_workers("the sequence has expired"))
        else:
            self._watch(sequence)

    def _end(self, sequence: OneSequence, error: ServingError) -> None:
        if self._sequences.get(sequence.id) is sequence:
            del self._sequences[sequence.id]
        if sequence.timer is not None and sequence.timer.active():
            sequence.timer.cancel()
        for job in sequence.jobs:
            job.fail(error)

    def _no_workers(self, reason: str) -> NoWorkers:
        return NoWorkers(self.model, self.version, reason)


def ended_by(answer: Answer, rules: Sequences) -> list[str]:
    """Return the sequences that a handler ends with its answer."""
    ended = header_values(answer_lines(answer.header_block), rules.end_header)
    return [each.strip() for each in ended[0].split(";")] if ended else []


def sequence_of(job: Job, rules: Sequences) -> str:
    """
    Return the sequence that a request names.

    One that names none begins its own, and its handler is told so: ``job.request`` gets two headers more.
    """
    request = job.request
    for named in header_values(request.header_block, rules.id_header):
        if named:
            return named
    text = request.id.hex()
    made = f"ts-seq-{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
    extra = json.loads(request.extra) if request.extra else {}
    extra["headers"] = {**extra.get("headers", {}), rules.id_header: made, rules.start_header: "true"}
    job.request = request._replace(extra=json.dumps(extra).encode())
    return made
