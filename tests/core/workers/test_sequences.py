"""Stateful models: who gets the requests of a sequence, in which order, and when it ends."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.sequence_queue import sequence_of
from modelserver.errors import NoWorkers, QueueFull
from modelserver.jobs import Answer, Job
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import make_job, make_spec
from modelserver.version_settings.values import Sequences
from tests.harness.workers import JobTestCase


class SequenceTests(JobTestCase):
    """Two workers, and sequences ``a``, ``b`` and so on."""

    def setUp(self) -> None:
        self.start(Sequences(max_idle=4.0, timeout=16.0, max_jobs=2, max_sequences=4))

    def start(self, rules: Sequences, workers: int = 2, batch_size: int = 1) -> None:
        spec = make_spec(
            stateful=True, sequences=rules, min_workers=workers, batch_size=batch_size, max_batch_delay=2.0
        )
        self.start_version(spec, workers)

    def put(self, sequence: str, body: bytes = b"x") -> Job:
        return self.put_job(body, b"Host: a\r\nTS_Request_Sequence_ID: %b\r\n" % sequence.encode())

    def in_hand(self, worker: int) -> list[bytes]:
        """The bodies that a worker has."""
        return [bytes(job.request.body) for _, jobs in self.workers[worker].batches for job in jobs]  # type: ignore[arg-type]

    def answer(self, worker: int) -> None:
        self.workers[worker].answer()
        self.stage.turn()

    def test_sequence_stays_with_its_worker_in_order(self) -> None:
        for body in (b"1", b"2", b"3"):
            self.put("a", body)
        self.assertEqual((self.in_hand(0), self.in_hand(1)), ([b"1"], []))
        self.answer(0)
        self.assertEqual((self.in_hand(0), self.in_hand(1)), ([b"2"], []))
        self.answer(0)
        self.assertEqual((self.in_hand(0), self.in_hand(1)), ([b"3"], []))

    def test_new_sequence_goes_where_there_are_fewest(self) -> None:
        self.put("a", b"a")
        self.put("b", b"b")
        self.assertEqual((self.in_hand(0), self.in_hand(1)), ([b"a"], [b"b"]))

    def test_workers_take_turns_with_new_sequences(self) -> None:
        for number, sequence in enumerate("aba"):
            self.put(sequence, b"%d" % number)
            self.assertEqual([b"%d" % number], self.in_hand(number % 2))
            self.answer(number % 2)
            self.stage.clock.advance(4)  # it is over

    def test_batch_has_one_request_of_each_sequence(self) -> None:
        self.start(Sequences(max_idle=4.0, max_jobs=4, max_sequences=4), workers=1, batch_size=4)
        for sequence, body in (("a", b"a1"), ("a", b"a2"), ("b", b"b1")):
            self.put(sequence, body)
        self.assertEqual(self.in_hand(0), [])
        self.stage.clock.advance(2)
        self.stage.turn()
        self.assertEqual(self.in_hand(0), [b"a1", b"b1"])
        self.answer(0)
        self.stage.clock.advance(2)
        self.stage.turn()
        self.assertEqual(self.in_hand(0), [b"a2"])

    def test_too_many_sequences_are_refused(self) -> None:
        for sequence in "abcd":
            self.put(sequence)
        with self.assertRaises(QueueFull) as caught:
            self.put("e")
        self.assertEqual((caught.exception.limit_name, caught.exception.limit), ("maxNumSequence", 4))

    def test_too_many_requests_of_a_sequence_are_refused(self) -> None:
        for _ in range(3):  # one in hand, two wait
            self.put("a")
        with self.assertRaises(QueueFull) as caught:
            self.put("a")
        self.assertEqual(caught.exception.limit_name, "maxSequenceJobQueueSize")

    def test_worker_has_its_share_of_sequences(self) -> None:
        self.start(Sequences(max_idle=4.0, max_sequences=2), workers=2)
        self.put("a", b"a")
        self.answer(0)
        self.put("b", b"b")
        self.assertEqual((self.in_hand(0), self.in_hand(1)), ([], [b"b"]))

    def test_idle_sequence_ends(self) -> None:
        self.put("a", b"1")
        self.answer(0)
        for sequence in "bcd":
            self.put(sequence)
        self.stage.clock.advance(4)
        self.put("e")

    def test_waiting_request_keeps_its_sequence(self) -> None:
        self.put("a", b"1")
        second = self.put("a", b"2")
        for _ in range(3):
            self.stage.clock.advance(3)
        self.assertFalse(second.finished)
        self.answer(0)
        self.assertEqual(self.in_hand(0), [b"2"])

    def test_old_sequence_ends_with_what_waits(self) -> None:
        self.put("a", b"1")
        second = self.put("a", b"2")
        for _ in range(16):
            self.stage.clock.advance(1)
        self.assertEqual([type(error) for error in self.observer(second).errors], [NoWorkers])

    def test_death_of_the_worker_ends_its_sequences_and_no_others(self) -> None:
        first, second, other = self.put("a", b"1"), self.put("a", b"2"), self.put("b", b"3")
        self.workers[0].exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.stage.turn()
        self.assertEqual([len(self.observer(job).errors) for job in (first, second, other)], [1, 1, 0])
        self.assertEqual(self.in_hand(1), [b"3"])

    def test_unregistering_answers_what_waits(self) -> None:
        self.put("a", b"1")
        second = self.put("a", b"2")
        self.version.pool.scale(0, 0)
        self.stage.turn()
        self.assertEqual(len(self.observer(second).errors), 1)

    def test_client_that_left_is_passed_over(self) -> None:
        self.put("a", b"1")
        self.put("a", b"2").cancel()
        self.put("a", b"3")
        self.answer(0)
        self.assertEqual(self.in_hand(0), [b"3"])

    def test_sequences_end_when_an_answer_says_so(self) -> None:
        rules = Sequences(max_idle=4.0, max_jobs=4, max_sequences=2, end_header="X-End")
        self.start(rules, workers=1)
        self.put("a", b"a1")
        self.put("b", b"b1")
        second = self.put("a", b"a2")
        with self.assertRaises(QueueFull):
            self.put("c")
        self.workers[0].answer(Answer(200, b"OK\r\nx-end: b ;a; unknown\r\n", b"end"))
        self.stage.turn()
        (error,) = self.observer(second).errors
        assert isinstance(error, NoWorkers)
        self.assertEqual(error.reason, "the sequence has ended")
        self.put("a", b"a3")
        self.put("c", b"c1")
        self.assertEqual(self.in_hand(0), [b"a3"])


class NameTests(SynchronousTestCase):
    """Which sequence a request belongs to."""

    def test_name_of_the_header(self) -> None:
        job = make_job()
        job.request = job.request._replace(header_block=b"ts_request_sequence_id:  one \r\n")
        self.assertEqual(sequence_of(job, Sequences()), "one")
        self.assertEqual(job.request.extra, b"")

    def test_header_of_another_name(self) -> None:
        job = make_job()
        job.request = job.request._replace(header_block=b"ts_request_sequence_id: one\r\nX-Session: two\r\n")
        self.assertEqual(sequence_of(job, Sequences(id_header="X-Session")), "two")

    def test_new_name_is_told_to_the_handler(self) -> None:
        job = make_job()
        job.request = job.request._replace(extra=json.dumps({"headers": {"url_path": "a"}}).encode())
        name = sequence_of(job, Sequences())
        self.assertRegex(name, "^ts-seq-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertEqual(
            json.loads(job.request.extra)["headers"],
            {"url_path": "a", "ts_request_sequence_id": name, "ts_request_sequence_start": "true"},
        )
