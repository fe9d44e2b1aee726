"""Sequences with continuous batching: what joins while a request of the same sequence is being answered."""

from __future__ import annotations

from modelserver.errors import QueueFull
from modelserver.jobs import Answer, Job
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import MemoryWorker, make_job, make_spec
from modelserver.version_settings.values import Sequences
from tests.harness.workers import JobTestCase


class LiveSequenceTests(JobTestCase):
    """One or two workers with a batch size of 2, and sequences ``a``, ``b`` and so on."""

    def setUp(self) -> None:
        self.start(1)

    def start(self, workers: int) -> None:
        rules = Sequences(max_idle=4.0, max_jobs=2, max_sequences=8)
        spec = make_spec(
            stateful=True, continuous_batching=True, sequences=rules, min_workers=workers, batch_size=2
        )
        self.start_version(spec, workers)

    @property
    def worker(self) -> MemoryWorker:
        return self.workers[0]

    def put(self, sequence: str, body: bytes) -> Job:
        return self.put_job(body, b"ts_request_sequence_id: %b\r\n" % sequence.encode())

    def in_hand(self, worker: int = 0) -> list[bytes]:
        return [bytes(job.request.body) for _, jobs in self.workers[worker].batches for job in jobs]  # type: ignore[arg-type]

    def number_of(self, job: Job) -> int:
        return self.batch_of(job, self.worker)

    def part(self, job: Job, body: bytes = b"part", head: bytes = b"") -> None:
        self.worker.events.part_arrived(self.number_of(job), [Answer(200, head, body)])
        self.worker.events.turn_ended()
        self.stage.turn()

    def answer(self, job: Job, head: bytes = b"") -> None:
        number = self.number_of(job)
        self.worker.batches.remove((number, [job]))
        self.worker.events.answered(number, [Answer(200, head, b"end")], 0.5)
        self.worker.events.turn_ended()
        self.stage.turn()

    def test_next_request_joins_when_the_handler_has_seen_the_one_before(self) -> None:
        first = self.put("a", b"a1")
        self.put("a", b"a2")
        self.assertEqual(self.in_hand(), [b"a1"])
        self.part(first, b"")
        self.assertEqual(self.in_hand(), [b"a1", b"a2"])

    def test_next_request_follows_an_answer(self) -> None:
        first = self.put("a", b"a1")
        self.put("a", b"a2")
        self.answer(first)
        self.assertEqual(self.in_hand(), [b"a2"])

    def test_twice_the_batch_size_may_be_live(self) -> None:
        for sequence in "abcdef":
            self.put(sequence, sequence.encode())
        self.assertEqual(self.in_hand(), [b"a", b"b", b"c", b"d"])

    def test_sequence_keeps_its_worker(self) -> None:
        self.start(2)
        first = self.put("a", b"a1")
        self.put("b", b"b1")
        self.part(first)
        self.put("a", b"a2")
        self.assertEqual((self.in_hand(0), self.in_hand(1)), ([b"a1", b"a2"], [b"b1"]))

    def test_part_may_end_a_sequence_and_its_stream_goes_on(self) -> None:
        first = self.put("a", b"a1")
        waits = self.put("a", b"a2")
        self.part(first, head=b"OK\r\nts_request_sequence_end: a\r\n")
        self.assertEqual([type(error).__name__ for error in self.observer(waits).errors], ["NoWorkers"])
        self.answer(first)
        self.assertEqual(self.observer(first).bodies, [b"end"])

    def test_sequence_with_a_stream_is_not_idle(self) -> None:
        first = self.put("a", b"a1")
        self.part(first)
        second = self.put("a", b"a2")
        self.answer(second)
        for _ in range(4):
            self.stage.clock.advance(3)
        self.put("a", b"a3")
        self.put("a", b"a4")
        self.put("a", b"a5")
        with self.assertRaises(QueueFull):
            self.put("a", b"a6")

    def test_request_that_wants_the_worker_to_itself_waits_for_it(self) -> None:
        first = self.put("a", b"a1")
        alone = make_job(b"alone")
        alone.exclusive = True
        self.version.pool.put(alone)
        self.stage.turn()
        self.assertEqual(self.in_hand(), [b"a1"])
        self.answer(first)
        self.assertEqual(self.in_hand(), [b"alone"])

    def test_death_of_the_worker_ends_everything_of_its_sequences(self) -> None:
        first = self.put("a", b"a1")
        self.part(first)
        second = self.put("a", b"a2")
        self.worker.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.stage.turn()
        self.assertEqual([type(error).__name__ for error in self.observer(first).errors], ["WorkerDied"])
        self.assertEqual([type(error).__name__ for error in self.observer(second).errors], ["NoWorkers"])
