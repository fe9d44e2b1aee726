"""A worker that crashes, hangs or cannot load: who is told, and when it is started again."""

from __future__ import annotations

from attrs import evolve
from twisted.logger import capturedLogs, formatEvent

from modelserver.core.workers.restarts import STEADY
from modelserver.errors import NoWorkers, WorkerDied, WorkersFailed
from modelserver.interfaces import WorkerEvents, WorkerProcess
from modelserver.jobs import Answer, Job, SharedSlot
from modelserver.spec import WorkerFailure, WorkerSpec, WorkerState
from modelserver.testing.providers import CollectingObserver, MemoryBackend, make_job
from tests.harness.workers import CRASH, WorkerTestCase


class BrokenObserver(CollectingObserver):
    """Has a defect."""

    def completed(self, job: Job, answer: Answer) -> None:
        raise ZeroDivisionError("division by zero")


class FailureTests(WorkerTestCase):
    """A worker that is not."""

    def test_exception_without_a_text_is_told_by_its_name(self) -> None:
        failure = WorkerFailure("load", 0.0, exit_code=1, exception="AssertionError")
        self.assertEqual(str(failure), "load, exited with code 1, AssertionError")

    def test_who_cannot_take_an_answer_takes_none_from_others(self) -> None:
        self.scaled(batch_size=2)
        freed: list[str] = []
        body = SharedSlot(0, 1, lambda: freed.append("place"))
        observer = CollectingObserver()
        broken, other = make_job(body, observer=BrokenObserver()), make_job(b"b", observer=observer)
        for job in (broken, other):
            self.version.pool.put(job)
        self.stage.turn()
        self.process.answer(Answer(200, b"", b"A"), Answer(200, b"", b"B"))
        self.assertEqual(([b"B"], ["place"]), (observer.bodies, freed))
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))

    def test_a_crash_answers_the_batch_in_hand_with_the_reason(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.exit(CRASH)
        self.assertEqual(observer.reasons, [repr(WorkerDied(CRASH))])

    def test_a_crash_leaves_batches_that_were_ahead_to_the_next_worker(self) -> None:
        self.scaled()
        self.ask(b"x")
        self.process.answer(seconds=0.0001)
        first, second = self.ask(b"a", b"b")
        self.process.exit(CRASH)
        self.assertEqual(first.reasons, [repr(WorkerDied(CRASH))])
        self.clock.advance(1)
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(second.bodies, [b"b"])

    def test_a_worker_that_served_is_restarted_at_once_then_with_back_off(self) -> None:
        self.scaled()
        self.ask(b"a")
        self.process.answer()
        self.process.exit(CRASH)
        self.clock.advance(0)
        launched = len(self.stage.backend.workers)
        self.assertEqual(launched, 2)
        for delay in (1, 1, 2, 3):
            self.process.exit(CRASH)
            self.clock.advance(delay - 0.5)
            self.assertEqual(len(self.stage.backend.workers), launched)
            self.clock.advance(0.5)
            launched += 1
            self.assertEqual(len(self.stage.backend.workers), launched)

    def test_one_that_was_ready_for_long_is_restarted_at_once_though_it_served_nothing(self) -> None:
        self.scaled()
        self.clock.advance(STEADY)
        self.process.exit(CRASH)
        self.clock.advance(0)
        self.assertEqual(len(self.stage.backend.workers), 2)
        self.process.load()
        self.process.exit(CRASH)
        self.clock.advance(0)
        self.assertEqual(len(self.stage.backend.workers), 2)

    def test_it_gives_up_after_the_recovery_window_and_nobody_waits(self) -> None:
        self.scaled()
        while WorkerState.FAILED not in self.states:
            self.process.exit(CRASH)
            self.clock.advance(8)
        with self.assertRaises(NoWorkers):
            self.ask(b"a")

    def test_giving_up_answers_who_waits(self) -> None:
        self.version.pool.scale(1, 1)
        (observer,) = self.ask(b"a")
        self.process.exit(WorkerFailure("load", 0.0, exception="ImportError", permanent=True))
        self.assertEqual(self.states, [WorkerState.FAILED])
        self.assertEqual([type(error) for error in observer.errors], [NoWorkers])

    def test_the_log_says_when_it_is_tried_again_and_when_no_more(self) -> None:
        self.version.pool.scale(1, 1)
        with capturedLogs() as events:
            for _ in range(50):
                if self.states != [WorkerState.FAILED]:
                    self.process.exit(CRASH)
                    self.clock.advance(8)
        told = [str(formatEvent(event)) for event in events]
        self.assertEqual(told[0], "Worker 9000 of model resnet version 1.0 ended: ended by SIGSEGV")
        self.assertIn("Retry worker: 9000 in 1 seconds.", told)
        self.assertEqual(told[-1], "Auto recovery failed again: worker 9000 is not started any more")

    def test_scaling_revives_a_worker_that_gave_up(self) -> None:
        self.version.pool.scale(1, 1)
        self.process.exit(WorkerFailure("load", 0.0, exception="ImportError", permanent=True))
        self.scaled()
        self.assertEqual(self.states, [WorkerState.READY])

    def test_an_answer_that_does_not_come_kills_the_worker(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.clock.advance(2)
        (error,) = observer.errors
        assert isinstance(error, WorkerDied)
        self.assertEqual(error.failure.cause, "response timeout")

    def test_the_response_time_counts_from_when_the_worker_can_begin(self) -> None:
        self.scaled()
        self.ask(b"x")
        self.process.answer(seconds=0.0001)
        first, second = self.ask(b"a", b"b")
        self.clock.advance(1.5)
        self.process.answer()
        self.clock.advance(1.5)
        self.assertEqual((first.bodies, second.errors), ([b"a"], []))
        self.clock.advance(0.5)
        self.assertEqual(len(second.errors), 1)

    def test_if_no_answer_was_kept_the_oldest_is_late(self) -> None:
        self.scaled()
        self.ask(b"x")
        self.process.answer(seconds=0.0001)
        late, behind = self.ask(b"a", b"b")
        self.clock.advance(2)
        self.assertEqual((len(late.errors), behind.errors), (1, []))

    def test_a_load_that_takes_too_long_is_killed(self) -> None:
        self.version.pool.scale(1, 1)
        settled = self.version.pool.when_settled()
        self.clock.advance(8)
        self.assertTrue(self.stage.backend.workers[0].is_gone)
        self.failureResultOf(settled, WorkersFailed)

    def test_an_answer_to_no_batch_is_refused(self) -> None:
        self.scaled()
        with self.assertRaises(LookupError):
            self.process.events.answered(99, [], 0.0)

    def test_a_wrong_number_of_answers_is_refused(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        number, _ = self.process.batches[0]
        with self.assertRaises(LookupError):
            self.process.events.answered(number, [], 0.0)
        self.process.exit(CRASH)
        self.assertEqual(observer.reasons, [repr(WorkerDied(CRASH))])


class FailingBackend(MemoryBackend):
    """Cannot start a worker, as long as it is told so."""

    fails = True

    def launch(self, events: WorkerEvents, spec: WorkerSpec) -> WorkerProcess:
        """Start none, or one."""
        if self.fails:
            raise OSError("no room")
        return super().launch(events, spec)


class LaunchTests(WorkerTestCase):
    """A backend that breaks its promise, and raises where it should report."""

    def setUp(self) -> None:
        super().setUp()
        self.backend = FailingBackend()
        self.stage.providers = evolve(self.stage.providers, backend=self.backend)
        self.version = self.make()

    def tearDown(self) -> None:
        self.flushLoggedErrors(OSError)

    def test_it_is_a_start_that_failed(self) -> None:
        self.version.pool.scale(2, 2)
        settled = self.version.pool.when_settled()
        self.assertEqual(self.states, [WorkerState.STARTING] * 2)
        self.clock.advance(0)
        failure = self.failureResultOf(settled, WorkersFailed).value.failure
        self.assertEqual((failure.cause, failure.text), ("launch", "no room"))
        self.assertEqual(self.states, [WorkerState.WAITING] * 2)
        self.backend.fails = False
        self.clock.advance(1)
        for worker in self.backend.workers:
            worker.load()
        self.assertEqual(self.states, [WorkerState.READY] * 2)

    def test_nobody_waits_for_its_end(self) -> None:
        for turns in ([], [0]):
            self.version.pool.scale(1, 1)
            self.clock.pump(turns)
            ended = self.version.pool.close()
            self.clock.advance(0)
            self.successResultOf(ended)
            self.assertEqual(self.clock.getDelayedCalls(), [])
