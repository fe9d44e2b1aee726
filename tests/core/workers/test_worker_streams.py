"""Parts of streamed answers on their way from a worker to those who asked."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.errors import DeadlinePassed, PredictionFailed
from modelserver.jobs import Answer, Job, JobState
from modelserver.testing.providers import CollectingObserver, make_spec
from tests.harness.workers import JobTestCase, WorkerTestCase


class BrokenObserver(CollectingObserver):
    """Has a defect."""

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        raise LookupError("as a worker's protocol raises, too")


class StreamTests(JobTestCase):
    """A worker's parts reach their jobs; what its clients cannot take, it is not to make."""

    def setUp(self) -> None:
        self.start_version(make_spec(batch_size=2))
        self.worker = self.stage.backend.last
        self.jobs = [self.put_job(b"x"), self.put_job(b"x")]

    def parts(self, number: int) -> list[bytes]:
        return [bytes(part.body) for part in self.observer(self.jobs[number]).parts]

    def test_parts_reach_their_jobs(self) -> None:
        self.worker.send_part(b"a", b"b")
        self.worker.send_part(b"c", b"d")
        self.assertEqual((self.parts(0), self.parts(1)), ([b"a", b"c"], [b"b", b"d"]))

    def test_several_parts_at_once(self) -> None:
        number = self.worker.batches[0][0]
        parts = [Answer(200, b"", body) for body in (b"a", b"b", b"c", b"", b"e", b"f")]
        self.worker.events.part_arrived(number, parts)
        self.assertEqual((self.parts(0), self.parts(1)), ([b"a", b"c", b"e"], [b"b", b"f"]))

    def test_parts_before_an_error_reach_their_job(self) -> None:
        number = self.worker.batches[0][0]
        error = PredictionFailed(503, "no")
        parts = [Answer(200, b"", body) for body in (b"a", b"b", b"d", b"e")]
        self.worker.events.part_arrived(number, [*parts[:2], error, *parts[2:3], *parts[3:], parts[0]])
        self.assertEqual((self.parts(0), self.parts(1)), ([b"a"], [b"b", b"d", b"a"]))
        self.assertEqual(self.observer(self.jobs[0]).errors, [error])

    def test_parts_for_some_jobs_only_are_refused(self) -> None:
        number = self.worker.batches[0][0]
        for count in (0, 1, 3):
            parts = [Answer(200, b"", b"x")] * count
            self.assertRaises(LookupError, self.worker.events.part_arrived, number, parts)

    def test_who_cannot_take_parts_takes_none_from_others(self) -> None:
        self.jobs[0].observer = observer = BrokenObserver()
        self.worker.send_part(b"a", b"b")
        self.assertEqual(1, len(self.flushLoggedErrors(LookupError)))
        self.assertEqual(["InternalError"], [type(error).__name__ for error in observer.errors])
        self.worker.send_part(b"c", b"d")
        self.assertEqual([b"b", b"d"], self.parts(1))
        self.assertEqual([(self.worker.batches[0][0], 0)], self.worker.cancelled)

    def test_empty_part_is_none(self) -> None:
        self.worker.send_part(b"", b"b")
        self.assertEqual((self.parts(0), self.parts(1)), ([], [b"b"]))
        self.assertEqual([job.state is JobState.STREAMING for job in self.jobs], [False, True])

    def test_error_among_the_parts_ends_its_job(self) -> None:
        number = self.worker.batches[0][0]
        error = PredictionFailed(503, "no")
        self.worker.events.part_arrived(number, [error, Answer(200, b"", b"b")])
        self.assertEqual(self.observer(self.jobs[0]).errors, [error])
        self.assertEqual(self.parts(1), [b"b"])

    def test_worker_is_held_until_every_client_can_take_more(self) -> None:
        number = self.worker.batches[0][0]
        for place in (0, 1):
            self.observer(self.jobs[place]).can_take = False
        self.worker.send_part(b"a", b"b")
        self.assertEqual(self.worker.holds, [(number, True)])
        self.resume(0)
        self.assertEqual(self.worker.holds, [(number, True)])
        self.resume(1)
        self.assertEqual(self.worker.holds, [(number, True), (number, False)])

    def resume(self, number: int) -> None:
        resume = self.jobs[number].resume
        assert resume is not None
        resume()

    def test_client_that_leaves_holds_nobody(self) -> None:
        number = self.worker.batches[0][0]
        self.observer(self.jobs[0]).can_take = False
        self.worker.send_part(b"a", b"b")
        self.jobs[0].cancel()
        self.jobs[0].withdraw()
        self.assertEqual(self.worker.cancelled, [(number, 0)])
        self.assertEqual(self.worker.holds, [(number, True), (number, False)])

    def test_client_whose_time_is_over_holds_nobody(self) -> None:
        number = self.worker.batches[0][0]
        self.observer(self.jobs[0]).can_take = False
        self.worker.send_part(b"a", b"b")
        self.jobs[0].fail(DeadlinePassed(1.0, started=True))
        self.assertEqual(self.worker.holds, [(number, True), (number, False)])
        self.worker.send_part(b"c", b"d")
        self.assertEqual((self.parts(0), self.parts(1)), ([b"a"], [b"b", b"d"]))
        self.assertEqual(self.worker.cancelled, [(number, 0)])

    def test_client_that_is_told_an_error_behind_its_parts_holds_nobody(self) -> None:
        number = self.worker.batches[0][0]
        self.observer(self.jobs[0]).can_take = False
        one, error = Answer(200, b"", b"a"), PredictionFailed(503, "no")
        self.worker.events.part_arrived(number, [one, one, error, one])
        self.assertEqual(self.observer(self.jobs[0]).errors, [error])
        self.assertEqual(self.worker.holds, [(number, True), (number, False)])

    def test_part_for_a_client_that_left_is_answered_with_that(self) -> None:
        number = self.worker.batches[0][0]
        self.jobs[1].cancel()
        self.worker.send_part(b"a", b"b")
        self.assertEqual(self.worker.cancelled, [(number, 1)])
        self.assertEqual(self.parts(1), [])

    def test_client_that_does_not_read_is_cut_off_and_the_worker_lives(self) -> None:
        number = self.worker.batches[0][0]
        self.observer(self.jobs[0]).can_take = False
        self.worker.send_part(b"a", b"b")
        self.stage.clock.advance(120)
        self.assertEqual(
            [type(error).__name__ for error in self.observer(self.jobs[0]).errors], ["DeadlinePassed"]
        )
        self.assertIn((number, 0), self.worker.cancelled)
        self.assertEqual(self.worker.holds[-1], (number, False))
        self.assertFalse(self.worker.is_gone)
        self.worker.answer(Answer(200, b"", b""), Answer(200, b"", b"end"))
        self.assertEqual(self.observer(self.jobs[1]).bodies, [b"end"])

    def test_each_part_buys_time(self) -> None:
        for _ in range(3):
            self.stage.clock.advance(100)
            self.worker.send_part(b"a", b"b")
        self.assertFalse(self.worker.is_gone)
        self.stage.clock.advance(121)
        self.assertTrue(self.worker.is_gone)


class JobsThatTravelTogetherTests(WorkerTestCase):
    """Calls of one job each, sent in one frame: what is said to the worker of one is said of all."""

    def test_answer_to_a_client_that_was_behind_lets_the_next_ones_stream(self) -> None:
        self.scaled(batch_size=1)
        self.ask(b"fast")
        self.process.answer(seconds=0.0001)
        first, second, third = self.ask(b"a", b"b", b"c")
        number = self.process.batches[0][0]
        self.assertEqual([each for each, _ in self.process.batches], [number] * 3)
        first.can_take = False
        self.process.send_part(b"part")
        self.assertEqual(self.process.holds, [(number, True)])
        self.process.answer(seconds=0.0001)
        self.assertEqual(self.process.holds, [(number, True), (number, False)])
        second.can_take = False
        self.process.send_part(b"part")
        self.assertEqual(self.process.holds[2:], [(number, True)])
        self.process.answer(seconds=0.0001)
        third.can_take = False
        self.process.send_part(b"part")
        self.process.answer(seconds=0.0001)
        self.assertEqual(self.process.holds[3:], [(number, False), (number, True)], "that of a batch is over")
        self.assertEqual([len(each.parts) for each in (first, second, third)], [1, 1, 1])
