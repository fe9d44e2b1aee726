"""Workers with several batches at work: answers in any order, and what becomes of the slow and the silent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.workers.concurrent import LONGEST_BEHIND
from modelserver.errors import NoWorkers, PredictionFailed, ServingError, WorkerDied
from modelserver.jobs import Answer, Job
from modelserver.spec import WorkerState
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_job, make_spec
from modelserver.version_settings.values import Timeouts
from tests.harness.workers import CRASH, JobTestCase

TIMEOUTS = Timeouts(startup=8.0, response=4.0, recovery=64.0, grace=2.0)


class ConcurrentTestCase(JobTestCase):
    """One version over workers in memory, which answer whichever batch the test wants."""

    def start(self, workers: int = 1, **more: Any) -> None:
        self.start_version(make_spec(timeouts=TIMEOUTS, **more), workers)

    @property
    def worker(self) -> MemoryWorker:
        return self.stage.backend.last

    def put(self, body: bytes, exclusive: bool = False) -> Job:
        return self.put_job(body, exclusive=exclusive)

    def number_of(self, job: Job, worker: MemoryWorker | None = None) -> int:
        return self.batch_of(job, worker or self.worker)

    def in_hand(self, worker: MemoryWorker | None = None) -> list[list[object]]:
        return [[job.request.body for job in jobs] for _, jobs in (worker or self.worker).batches]

    def answer(self, job: Job, *bodies: bytes) -> None:
        worker, number = self.worker, self.number_of(job)
        jobs = next(jobs for each, jobs in worker.batches if each == number)
        worker.batches = [pair for pair in worker.batches if pair[0] != number]
        echoes = [b"of " + each.request.body for each in jobs if isinstance(each.request.body, bytes)]
        answers = [Answer(200, b"", body) for body in bodies or echoes]
        worker.events.answered(number, answers, 0.5)
        worker.events.turn_ended()

    def part(self, job: Job, *bodies: bytes) -> None:
        answers = [Answer(200, b"", body) for body in bodies]
        self.worker.events.part_arrived(self.number_of(job), answers)
        self.worker.events.turn_ended()

    def bodies(self, jobs: Sequence[Job]) -> list[list[bytes]]:
        return [self.observer(job).bodies for job in jobs]


class ContinuousTests(ConcurrentTestCase):
    """``continuousBatching``: a live set of as many jobs as a batch has."""

    def setUp(self) -> None:
        self.start(continuous_batching=True, batch_size=2, max_batch_delay=2.0)

    def test_job_joins_at_once_while_there_is_room(self) -> None:
        a, b, c = (self.put(body) for body in (b"a", b"b", b"c"))
        self.assertEqual(self.in_hand(), [[b"a"], [b"b"]])
        self.part(a, b"1")
        self.assertEqual(self.in_hand(), [[b"a"], [b"b"]])
        self.answer(b)
        self.assertEqual(self.in_hand(), [[b"a"], [b"c"]])
        self.answer(a)
        self.answer(c)
        self.assertEqual(self.bodies([a, b, c]), [[b"of a"], [b"of b"], [b"of c"]])

    def test_each_worker_has_its_share(self) -> None:
        self.start(2, continuous_batching=True, batch_size=2)
        for body in (b"a", b"b", b"c"):
            self.put(body)
        self.assertEqual([len(self.in_hand(each)) for each in self.stage.backend.workers], [2, 1])

    def test_job_that_wants_the_worker_to_itself_waits_for_it_and_is_waited_for(self) -> None:
        a = self.put(b"a")
        alone = self.put(b"alone", exclusive=True)
        self.put(b"c")
        self.assertEqual(self.in_hand(), [[b"a"]])
        self.answer(a)
        self.assertEqual(self.in_hand(), [[b"alone"]])
        self.answer(alone)
        self.assertEqual(self.in_hand(), [[b"c"]])

    def test_client_that_leaves_is_told_to_the_worker_before_any_part(self) -> None:
        a, b = self.put(b"a"), self.put(b"b")
        b.withdraw()
        self.assertEqual(self.worker.cancelled, [(self.number_of(b), 0)])
        c = self.put(b"c")
        self.assertEqual(self.in_hand(), [[b"a"], [b"b"]])
        self.answer(b)  # the worker's word that it is no longer among the live
        self.assertEqual(self.in_hand(), [[b"a"], [b"c"]])
        self.answer(c)
        self.answer(a)
        self.assertEqual(self.bodies([a, b, c]), [[b"of a"], [], [b"of c"]])

    def test_failure_is_of_its_job(self) -> None:
        a, b = self.put(b"a"), self.put(b"b")
        number = self.number_of(a)
        self.worker.batches = [pair for pair in self.worker.batches if pair[0] != number]
        self.worker.events.answered(number, [PredictionFailed(503, "no")], 0.5)
        self.part(b, b"1")
        self.assertEqual(len(self.observer(a).errors), 1)
        self.assertEqual(self.observer(b).errors, [])

    def test_worker_that_dies_loses_those_that_have_begun_and_no_others(self) -> None:
        a, b = self.put(b"a"), self.put(b"b")
        self.part(a, b"1")
        self.worker.exit(CRASH)
        self.clock.advance(1)
        self.stage.turn()
        self.assertEqual(self.observer(a).reasons, [repr(WorkerDied(CRASH))])
        self.assertEqual(self.in_hand(), [[b"b"]])
        self.answer(b)
        self.assertEqual(self.observer(b).bodies, [b"of b"])

    def test_those_of_a_dead_worker_are_tried_again_alone(self) -> None:
        a, b = self.put(b"a"), self.put(b"b")
        for _ in range(2):
            self.worker.exit(CRASH)
            self.clock.advance(1)
            self.stage.turn()
        self.assertEqual(self.observer(a).reasons, [repr(WorkerDied(CRASH))])
        self.answer(b)
        self.assertEqual(self.observer(b).bodies, [b"of b"])

    def test_worker_leaves_when_all_its_jobs_are_finished(self) -> None:
        a, b = self.put(b"a"), self.put(b"b")
        gone = self.version.pool.close()
        self.answer(b)
        self.assertNoResult(gone)
        self.answer(a)
        self.successResultOf(gone)


class ConcurrentTests(ConcurrentTestCase):
    """``asyncCommunication``: batches as ever, but none waits for another."""

    def setUp(self) -> None:
        self.start(async_communication=True)

    def test_batches_are_answered_in_any_order(self) -> None:
        jobs = [self.put(b"%d" % number) for number in range(20)]
        self.assertEqual(len(self.in_hand()), 20)
        for job in reversed(jobs):
            self.answer(job)
        self.assertEqual(self.bodies(jobs), [[b"of %d" % number] for number in range(20)])

    def test_partial_batch_leaves_after_its_delay_though_others_are_at_work(self) -> None:
        self.start(async_communication=True, batch_size=2, max_batch_delay=2.0)
        for body in (b"a", b"b", b"c"):
            self.put(body)
        self.assertEqual(self.in_hand(), [[b"a", b"b"]])
        self.clock.advance(2)
        self.stage.turn()
        self.assertEqual(self.in_hand(), [[b"a", b"b"], [b"c"]])

    def test_answer_to_no_batch_is_refused(self) -> None:
        self.put(b"a")
        with self.assertRaises(LookupError):
            self.worker.events.answered(99, [Answer(200, b"", b"")], 0.0)
        with self.assertRaises(LookupError):
            self.worker.events.answered(self.worker.batches[0][0], [], 0.0)

    def test_parts_buy_time(self) -> None:
        a = self.put(b"a")
        for _ in range(3):
            self.clock.advance(3)
            self.part(a, b"1")
        self.assertEqual((len(self.observer(a).parts), self.observer(a).errors), (3, []))

    def test_one_that_is_silent_for_too_long_is_given_up_and_cancelled_alone(self) -> None:
        slow = self.put(b"slow")
        self.clock.advance(3)
        other = self.put(b"other")
        self.clock.advance(1)
        self.assertEqual([type(error).__name__ for error in self.observer(slow).errors], ["DeadlinePassed"])
        self.assertEqual(self.worker.cancelled, [(self.number_of(slow), 0)])
        self.clock.advance(1)
        self.answer(other)
        self.clock.advance(2)
        self.assertFalse(self.worker.is_gone)
        self.assertEqual(self.observer(other).bodies, [b"of other"])

    def test_worker_that_does_not_react_to_that_is_killed(self) -> None:
        self.put(b"slow")
        self.clock.advance(3)
        other = self.put(b"other")
        self.clock.advance(1)
        worker = self.worker
        self.clock.advance(2)
        self.assertTrue(worker.is_gone)
        self.clock.advance(1)
        self.stage.turn()
        self.answer(other)
        self.assertEqual(self.observer(other).bodies, [b"of other"])

    def test_slow_client_holds_nobody_and_is_cut_off_when_it_is_far_behind(self) -> None:
        slow, other = self.put(b"slow"), self.put(b"other")
        self.observer(slow).can_take = False
        for _ in range(2):
            self.part(slow, bytes(LONGEST_BEHIND // 2))
        self.part(other, b"1")
        self.assertEqual((self.observer(slow).errors, self.worker.holds), ([], []))
        self.part(slow, b"1")
        self.assertEqual([type(error).__name__ for error in self.observer(slow).errors], ["ClientGone"])
        self.assertEqual(self.worker.cancelled, [(self.number_of(slow), 0)])

    def test_client_that_reads_again_starts_anew(self) -> None:
        slow = self.put(b"slow")
        self.observer(slow).can_take = False
        for _ in range(5):
            self.part(slow, bytes(LONGEST_BEHIND))
            assert slow.holder is not None
            slow.resume()
        self.assertEqual(self.observer(slow).errors, [])


STEPS = ("ask", "answer oldest", "answer newest", "part", "leave", "crash", "wait", "scale 0", "scale 2")


class LawTests(SynchronousTestCase):
    """Any order of events: each job is answered once, no worker has more than it may, no timer is left."""

    @settings(deadline=None)
    @given(
        st.lists(st.sampled_from(STEPS), max_size=40),
        st.sampled_from(("continuous_batching", "async_communication")),
        st.integers(1, 3),
    )
    def test_every_job_is_answered_once(self, steps: list[str], mode: str, batch_size: int) -> None:
        self.stage = Stage()
        how: dict[str, Any] = {mode: True}
        spec = make_spec(timeouts=TIMEOUTS, batch_size=batch_size, max_batch_delay=0.5, **how)
        self.version = self.stage.version(spec)
        self.version.pool.scale(1, 1)
        self.jobs: list[Job] = []
        for step in steps:
            self.take(step)
            for worker in self.stage.backend.workers:
                if not worker.is_gone and getattr(worker.events, "state", None) is WorkerState.STARTING:
                    worker.load()
            self.stage.turn()
            if mode == "continuous_batching":
                for worker in self.stage.backend.workers:
                    self.assertLessEqual(sum(len(jobs) for _, jobs in worker.batches), batch_size)
        self.version.pool.scale(0, 0, drain=2.0)
        self.version.queue.fail_all(NoWorkers("resnet", None))
        for _ in range(10):
            self.stage.clock.advance(4)
        for job in self.jobs:
            observer = job.observer
            assert isinstance(observer, CollectingObserver)
            self.assertEqual(len(observer.answers) + len(observer.errors), 0 if job in self.left else 1)
        self.assertTrue(all(worker.is_gone for worker in self.stage.backend.workers))
        self.assertEqual(self.stage.clock.getDelayedCalls(), [])

    def setUp(self) -> None:
        self.left: set[Job] = set()

    def take(self, step: str) -> None:
        busy = [worker for worker in self.stage.backend.workers if not worker.is_gone and worker.batches]
        if step == "ask":
            job = make_job(b"x", self.stage.clock.seconds())
            try:
                self.version.pool.put(job)
                self.jobs.append(job)
            except ServingError:
                pass
        elif step == "wait":
            self.stage.clock.advance(3)
        elif step.startswith("scale"):
            self.version.pool.scale(int(step[-1]), int(step[-1]), drain=2.0)
        elif step == "leave":
            waiting = next((job for job in self.jobs if not job.finished), None)
            if waiting is not None:
                self.left.add(waiting)
                waiting.withdraw()
        elif busy and step == "crash":
            busy[0].batches = []
            busy[0].exit(CRASH)
        elif busy:
            self.speak(busy[0], step)

    def speak(self, worker: MemoryWorker, step: str) -> None:
        number, jobs = worker.batches[-1 if step == "answer newest" else 0]
        answers = [Answer(200, b"", b"x") for _ in jobs]
        if step == "part":
            worker.events.part_arrived(number, answers)
        else:
            worker.batches.remove((number, jobs))
            worker.events.answered(number, answers, 0.001)
        worker.events.turn_ended()
