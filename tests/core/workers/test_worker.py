"""A worker's life: one process and one timer at most, whatever happens."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import ModelVersion
from modelserver.core.workers.worker import STEADY
from modelserver.errors import NoWorkers, ServingError, WorkerDied, WorkerFailure, WorkersFailed
from modelserver.jobs import Answer, Job
from modelserver.spec import Timeouts
from modelserver.testing import CollectingObserver, MemoryWorker, Stage, make_job, make_spec

TIMEOUTS = Timeouts(startup=8.0, response=2.0, recovery=16.0, grace=4.0)
CRASH = WorkerFailure("signal", 0.0, signal="SIGSEGV")


class WorkerTestCase(SynchronousTestCase):
    """A pool of one version over workers in memory."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.clock = self.stage.clock
        self.version = self.make()

    def make(self, **more: object) -> ModelVersion:
        more = {"timeouts": TIMEOUTS, "retry_on_worker_death": 0, **more}
        return self.stage.version(make_spec(**more))

    @property
    def process(self) -> MemoryWorker:
        return self.stage.backend.last

    def scaled(self, count: int = 1) -> ModelVersion:
        self.version.pool.scale(count, count)
        for worker in self.stage.backend.workers:
            if not worker.is_gone and not worker.batches:
                worker.load()
        self.stage.turn()
        return self.version

    def ask(self, *bodies: bytes) -> list[CollectingObserver]:
        observers = []
        for body in bodies:
            observer = CollectingObserver()
            self.version.pool.put(make_job(body, self.clock.seconds(), observer))
            observers.append(observer)
        self.stage.turn()
        return observers

    @property
    def states(self) -> list[str]:
        return [worker.state for worker in self.version.pool.workers]


class ServingTests(WorkerTestCase):
    """A worker that is well."""

    def test_it_starts_loads_and_answers(self) -> None:
        self.version.pool.scale(1, 1)
        self.assertEqual(self.states, ["starting"])
        self.process.load()
        self.assertEqual(self.states, ["ready"])
        (observer,) = self.ask(b"a")
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_jobs_wait_for_a_worker_that_starts(self) -> None:
        self.version.pool.scale(1, 1)
        (observer,) = self.ask(b"a")
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_a_slow_worker_gets_one_batch_at_a_time(self) -> None:
        self.scaled()
        self.ask(b"a", b"b", b"c")
        self.assertEqual(len(self.process.batches), 1)
        self.process.answer(seconds=0.5)
        self.assertEqual(len(self.process.batches), 1)

    def test_a_fast_worker_gets_batches_ahead(self) -> None:
        for seconds, ahead in ((0.05, 1), (0.001, 8), (0.0001, 16)):
            self.setUp()
            self.scaled()
            self.ask(b"a")
            self.process.answer(seconds=seconds)
            self.ask(*[b"%d" % number for number in range(20)][:ahead], b"one more")
            self.assertEqual(len(self.process.batches), ahead)

    def test_batches_of_one_travel_together_and_are_answered_as_they_are_done(self) -> None:
        self.scaled()
        self.ask(b"a")
        self.process.answer(seconds=0.0001)
        observers = self.ask(b"b", b"c", b"d")
        numbers = {number for number, _ in self.process.batches}
        self.assertEqual((len(self.process.batches), len(numbers)), (3, 1))
        self.process.answer(seconds=0.0001)
        self.assertEqual([observer.bodies for observer in observers], [[b"b"], [], []])
        (number,) = numbers
        two = [Answer(200, b"", b"C"), Answer(200, b"", b"D")]
        self.process.events.answered(number, two, 0.0002)
        self.process.events.turn_ended()
        self.assertEqual([observer.bodies for observer in observers], [[b"b"], [b"C"], [b"D"]])
        self.assertEqual(self.stage.recorder.counts["batch_finished", self.version.spec.name], 4)

    def test_the_worker_gets_more_before_clients_are_told(self) -> None:
        self.scaled()
        self.ask(b"a", b"b")

        class Told(CollectingObserver):
            def answered(observer, job: Job, answer: Answer) -> None:
                super().answered(job, answer)
                self.assertEqual([len(worker.batches) for worker in self.stage.backend.workers], [1])

        told = Told()
        self.version.pool.put(make_job(b"c", self.clock.seconds(), told))
        self.stage.turn()
        for _ in range(2):
            self.process.answer()
        self.ask(b"d")
        self.process.answer()
        self.assertEqual(told.bodies, [b"c"])

    def test_answers_that_came_before_the_end_are_handed_out(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.answer(end_turn=False)
        self.assertEqual(observer.bodies, [])
        self.process.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.assertEqual(observer.bodies, [b"a"])

    def test_what_waits_is_shared_out_among_workers(self) -> None:
        self.scaled(2)
        for _ in range(2):
            self.ask(b"a", b"b")
            for worker in self.stage.backend.workers:
                worker.answer(seconds=0.0001)
        self.ask(*[b"%d" % number for number in range(6)])
        self.assertEqual([len(worker.batches) for worker in self.stage.backend.workers], [3, 3])

    def test_where_many_wait_a_worker_gets_more_ahead(self) -> None:
        self.scaled()
        self.ask(b"a")
        self.process.answer(seconds=0.01)
        self.ask(*[b"%d" % number for number in range(6)])
        self.assertEqual(len(self.process.batches), 2)
        self.ask(*[b"%d" % number for number in range(20)])
        self.assertEqual(len(self.process.batches), 8)

    def test_work_goes_to_the_worker_with_the_least_in_hand(self) -> None:
        self.scaled(2)
        self.ask(b"a", b"b")
        self.assertEqual([len(worker.batches) for worker in self.stage.backend.workers], [1, 1])

    def test_no_worker_at_all_refuses_at_once(self) -> None:
        with self.assertRaises(NoWorkers):
            self.ask(b"a")

    def test_scale_to_zero_answers_who_waits(self) -> None:
        self.scaled()
        first, second = self.ask(b"a", b"b")
        self.version.pool.scale(0, 0)
        self.assertEqual([type(error) for error in second.errors], [NoWorkers])
        self.process.answer()
        self.assertEqual(first.bodies, [b"a"])
        self.assertTrue(self.process.is_gone)


class FailureTests(WorkerTestCase):
    """A worker that is not."""

    def test_exception_without_a_text_is_told_by_its_name(self) -> None:
        failure = WorkerFailure("load", 0.0, exit_code=1, exception="AssertionError")
        self.assertEqual(str(failure), "load, exited with code 1, AssertionError")

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
        while "failed" not in self.states:
            self.process.exit(CRASH)
            self.clock.advance(8)
        with self.assertRaises(NoWorkers):
            self.ask(b"a")

    def test_giving_up_answers_who_waits(self) -> None:
        self.version.pool.scale(1, 1)
        (observer,) = self.ask(b"a")
        self.process.exit(WorkerFailure("load", 0.0, exception="ImportError", permanent=True))
        self.assertEqual(self.states, ["failed"])
        self.assertEqual([type(error) for error in observer.errors], [NoWorkers])

    def test_the_log_says_when_it_is_tried_again_and_when_no_more(self) -> None:
        self.version.pool.scale(1, 1)
        with capturedLogs() as events:
            for _ in range(50):
                if self.states != ["failed"]:
                    self.process.exit(CRASH)
                    self.clock.advance(8)
        told = [str(formatEvent(event)) for event in events]
        self.assertEqual(told[0], "Worker 9000 of model resnet version 1.0 ended: ended by SIGSEGV")
        self.assertRegex(told[1], r"^Retry worker: 9000 in [0-9.]+ seconds\.$")
        self.assertEqual(told[-1], "Auto recovery failed again: worker 9000 is not started any more")

    def test_scaling_revives_a_worker_that_gave_up(self) -> None:
        self.version.pool.scale(1, 1)
        self.process.exit(WorkerFailure("load", 0.0, exception="ImportError", permanent=True))
        self.scaled()
        self.assertEqual(self.states, ["ready"])

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

    def test_an_answer_that_was_kept_is_asked_for_and_the_one_behind_it_is_late(self) -> None:
        self.scaled()
        self.ask(b"x")
        self.process.answer(seconds=0.0001)
        done, late, behind = self.ask(b"a", b"b", b"c")
        process = self.process
        self.clock.advance(2)
        self.assertEqual((process.released, process.is_gone), (1, False))
        process.answer()
        self.clock.advance(0.25)
        self.assertEqual((done.bodies, process.is_gone, behind.errors), ([b"a"], True, []))
        (error,) = late.errors
        assert isinstance(error, WorkerDied)
        self.assertEqual(error.failure.cause, "response timeout")

    def test_if_none_was_kept_the_oldest_is_late(self) -> None:
        self.scaled()
        self.ask(b"x")
        self.process.answer(seconds=0.0001)
        late, behind = self.ask(b"a", b"b")
        self.clock.advance(2)
        self.clock.advance(0.25)
        self.assertEqual((len(late.errors), behind.errors), (1, []))

    def test_asking_once_is_forgotten(self) -> None:
        self.scaled()
        self.ask(b"x")
        self.process.answer(seconds=0.0001)
        first, second = self.ask(b"a", b"b")
        process = self.process
        self.clock.advance(2)
        process.answer()
        process.answer()
        self.ask(b"c", b"d")
        self.clock.advance(2)
        self.assertEqual((process.released, process.is_gone), (2, False))
        self.assertEqual(first.bodies + second.bodies, [b"a", b"b"])

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


class StoppingTests(WorkerTestCase):
    """A worker that is to leave."""

    def test_it_finishes_what_it_has(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        gone = self.version.pool.close()
        self.assertFalse(self.process.is_stopping)
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])
        self.successResultOf(gone)

    def test_it_is_not_waited_for_longer_than_told(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        gone = self.version.pool.close(drain=1.0)
        self.clock.advance(1)
        self.assertEqual(len(observer.errors), 1)
        self.successResultOf(gone)

    def test_one_that_does_not_listen_is_killed(self) -> None:
        self.scaled()
        self.process.ends_when_told = False
        gone = self.version.pool.close()
        self.assertNoResult(gone)
        self.clock.advance(4)
        self.successResultOf(gone)

    def test_the_newest_leave_first(self) -> None:
        self.scaled(3)
        ids = [worker.id for worker in self.version.pool.workers]
        self.version.pool.scale(1, 1)
        self.assertEqual([worker.id for worker in self.version.pool.workers], ids[:1])

    def test_one_that_waits_to_restart_leaves_at_once(self) -> None:
        self.scaled()
        self.process.exit(CRASH)
        self.successResultOf(self.version.pool.close())
        self.clock.advance(600)
        self.assertEqual(len(self.stage.backend.workers), 1)


class SettlingTests(WorkerTestCase):
    """Whoever asked for workers learns what became of it."""

    def test_it_settles_when_all_are_ready(self) -> None:
        self.version.pool.scale(2, 2)
        settled = self.version.pool.when_settled()
        self.stage.backend.workers[0].load()
        self.assertNoResult(settled)
        self.stage.backend.workers[1].load()
        self.successResultOf(settled)

    def test_it_fails_when_one_cannot_load(self) -> None:
        self.version.pool.scale(2, 2)
        settled = self.version.pool.when_settled()
        self.stage.backend.workers[0].exit(WorkerFailure("load", 0.0, exception="ValueError", text="no"))
        error = self.failureResultOf(settled, WorkersFailed).value
        self.assertEqual(error.failure.exception, "ValueError")

    def test_cancelling_is_allowed(self) -> None:
        self.version.pool.scale(1, 1)
        settled = self.version.pool.when_settled()
        settled.addErrback(lambda failure: None)
        settled.cancel()
        self.process.load()


class GpuTests(SynchronousTestCase):
    """Workers spread over the GPUs there are."""

    def test_round_robin_from_gpu_0_and_balance_by_who_is_there(self) -> None:
        stage = Stage(gpus=2)
        first, second = stage.version(make_spec("a")), stage.version(make_spec("b"))
        first.pool.scale(3, 3)
        second.pool.scale(1, 1)
        self.assertEqual([worker.spec.gpu_id for worker in first.pool.workers], [0, 1, 0])
        self.assertEqual([worker.spec.gpu_id for worker in second.pool.workers], [1])
        first.pool.scale(1, 1)
        second.pool.scale(2, 2)
        self.assertEqual([worker.spec.gpu_id for worker in second.pool.workers], [1, 0])

    def test_without_gpus_there_is_no_gpu_id(self) -> None:
        stage = Stage()
        version = stage.version(make_spec())
        version.pool.scale(1, 1)
        self.assertIsNone(version.pool.workers[0].spec.gpu_id)

    def test_device_type_cpu_takes_none(self) -> None:
        stage = Stage(gpus=2)
        version = stage.version(make_spec(device_type="cpu"))
        version.pool.scale(1, 1)
        self.assertIsNone(version.pool.workers[0].spec.gpu_id)

    def test_number_gpu_puts_so_many_on_gpus(self) -> None:
        stage = Stage(gpus=2)
        version = stage.version(make_spec())
        version.pool.scale(3, 3, gpu_workers=1)
        self.assertEqual([worker.spec.gpu_id for worker in version.pool.workers], [0, None, None])

    def test_a_worker_may_span_gpus(self) -> None:
        stage = Stage(gpus=4)
        version = stage.version(make_spec(parallel_level=2))
        version.pool.scale(2, 2)
        self.assertEqual([w.spec.visible_devices for w in version.pool.workers], [(0, 1), (2, 3)])


STEPS = [
    "ask",
    "load",
    "answer",
    "crash",
    "load failure",
    "scale 0",
    "scale 1",
    "scale 3",
    "wait",
    "long wait",
]


class LawTests(SynchronousTestCase):
    """Any order of events: no job is lost, no worker has two processes or two timers."""

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(STEPS), max_size=40), st.integers(1, 3), st.integers(0, 1))
    def test_every_job_is_answered_once(self, steps: list[str], batch_size: int, retries: int) -> None:
        stage = Stage()
        spec = make_spec(
            timeouts=TIMEOUTS, batch_size=batch_size, max_batch_delay=0.5, retry_on_worker_death=retries
        )
        version = stage.version(spec)
        asked: list[CollectingObserver] = []
        for step in steps:
            self._take(step, stage, version, asked)
            stage.turn()
            self._check(stage, version)
        version.pool.scale(0, 0)
        version.queue.fail_all(NoWorkers("resnet", None))
        for _ in range(10):
            stage.clock.advance(4)
        for observer in asked:
            self.assertEqual(len(observer.answers) + len(observer.errors), 1)
        self.assertTrue(all(worker.is_gone for worker in stage.backend.workers))
        self.assertEqual(stage.clock.getDelayedCalls(), [])

    def _take(self, step: str, stage: Stage, version: ModelVersion, asked: list[CollectingObserver]) -> None:
        alive = [worker for worker in stage.backend.workers if not worker.is_gone]
        if step == "ask":
            observer = CollectingObserver()
            try:
                version.pool.put(make_job(b"x", stage.clock.seconds(), observer))
                asked.append(observer)
            except ServingError:
                pass
        elif step.startswith("scale"):
            count = int(step[-1])
            version.pool.scale(count, count, drain=2.0)
        elif step == "wait":
            stage.clock.advance(1)
        elif step == "long wait":
            stage.clock.advance(8)
        elif alive:
            self._happen(step, alive[0])

    def _happen(self, step: str, process: MemoryWorker) -> None:
        if step == "load" and getattr(process.events, "state", "") == "starting":
            process.load()
        elif step == "answer" and process.batches:
            process.answer(seconds=0.001)
        elif step == "crash":
            process.exit(CRASH)
        elif step == "load failure" and not process.batches:
            process.exit(WorkerFailure("load", 0.0, exception="ValueError"))

    def _check(self, stage: Stage, version: ModelVersion) -> None:
        living: dict[int, int] = {}
        for worker in stage.backend.workers:
            if not worker.is_gone:
                living[id(worker.events)] = living.get(id(worker.events), 0) + 1
        self.assertTrue(all(count == 1 for count in living.values()))
        timers = len(stage.clock.getDelayedCalls())
        self.assertLessEqual(timers, len(living) + len(version.pool.workers) + 2)
