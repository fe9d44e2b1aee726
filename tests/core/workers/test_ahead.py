"""Jobs that were sent ahead of a worker's present call: still to be had, and counted as waiting."""

from __future__ import annotations

from collections import Counter
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.queues.time_buckets import GRAIN
from modelserver.core.workers.levelling import LONG
from modelserver.errors import DeadlinePassed, NoWorkers, QueueFull, ServingError, WorkerDied
from modelserver.jobs import Job
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_job, make_spec
from modelserver.version_settings.values import Timeouts
from tests.harness.workers import CRASH, WorkerTestCase

FAST = 0.0001


class AheadTests(WorkerTestCase):
    """One worker is at a call, others are behind it."""

    settings = {"timeouts": Timeouts(startup=8.0, response=2.0, recovery=64.0, grace=4.0)}

    def prepare(self, workers: int = 1, **more: Any) -> None:
        """Have workers of which each is known to be fast."""
        self.scaled(workers, **more)
        self.ask(*[b"w"] * (workers * int(more.get("batch_size", 1))))
        for worker in self.stage.backend.workers:
            worker.answer(seconds=FAST)

    def bodies(self, worker: MemoryWorker) -> list[object]:
        return [job.request.body for _, jobs in worker.batches for job in jobs]

    def put(self, body: bytes) -> Job:
        job = make_job(body, self.clock.seconds())
        self.version.pool.put(job)
        self.stage.turn()
        return job

    def pass_time(self) -> None:
        """Two thousandths of a second, in which the server looks."""
        self.clock.pump([0.0005] * 4 + [0])

    def test_a_free_worker_gets_what_is_behind_a_call_that_takes_long(self) -> None:
        self.prepare(2)
        self.ask(b"a", b"b", b"c", b"d")
        first, second = self.stage.backend.workers
        self.assertEqual([len(self.bodies(worker)) for worker in (first, second)], [2, 2])
        behind = self.bodies(first)[1]
        second.answer(seconds=FAST)
        second.answer(seconds=FAST)
        self.pass_time()
        self.assertEqual((len(self.bodies(first)), self.bodies(second)), (1, [behind]))

    def test_nothing_moves_while_the_worker_goes_on(self) -> None:
        self.prepare(2)
        self.ask(*[b"%d" % number for number in range(8)])
        first, second = self.stage.backend.workers
        while second.batches:
            second.answer(seconds=FAST)
        for left in (3, 2):
            self.clock.advance(0.0005)
            first.answer(seconds=FAST)
            self.assertEqual((len(self.bodies(first)), self.bodies(second)), (left, []))

    def test_nothing_is_sent_ahead_before_the_worker_has_passed_over_it(self) -> None:
        self.prepare(2)
        self.ask(b"a", b"b", b"c", b"d")
        first, second = self.stage.backend.workers
        second.answer(seconds=FAST)
        second.answer(seconds=FAST)
        self.pass_time()
        self.ask(b"e", b"f")
        self.assertEqual(len(self.bodies(first)), 1)
        first.answer(seconds=FAST)
        self.ask(b"g", b"h", b"i")
        self.assertTrue(self.bodies(first))

    def test_what_was_not_taken_back_is_not_passed_over(self) -> None:
        self.prepare()
        with self.assertRaises(LookupError):
            self.process.events.dropped(1, 1)

    def test_the_limit_counts_those_ahead_whatever_was_measured(self) -> None:
        self.prepare(job_queue_size=2)
        self.ask(b"a")
        self.ask(b"b", b"c")
        with self.assertRaises(QueueFull):
            self.put(b"d")
        self.process.answer(seconds=FAST)
        self.put(b"d")
        with self.assertRaises(QueueFull):
            self.put(b"e")

    def test_the_limit_of_bytes_counts_those_ahead(self) -> None:
        self.prepare(job_queue_bytes=10)
        self.ask(b"running")
        self.ask(b"12345", b"12345")
        with self.assertRaises(QueueFull) as raised:
            self.put(b"1")
        self.assertEqual(raised.exception.limit_name, "job_queue_bytes")

    def test_a_job_whose_client_leaves_before_its_call_is_not_run(self) -> None:
        self.prepare()
        self.ask(b"a")
        gone, stays = self.put(b"gone"), self.put(b"stays")
        self.assertEqual(len(self.bodies(self.process)), 3)
        gone.withdraw()
        self.stage.turn()
        self.process.answer(seconds=FAST)
        self.assertEqual((self.bodies(self.process), self.process.cancelled), ([b"stays"], []))
        self.process.answer()
        assert isinstance(stays.observer, CollectingObserver)
        self.assertEqual(stays.observer.bodies, [b"stays"])

    def test_a_deadline_finds_a_job_ahead_in_the_queue(self) -> None:
        self.prepare()
        self.ask(b"a")
        job = make_job(b"b", self.clock.seconds(), deadline=self.clock.seconds() + 1)
        deadlines = Deadlines(self.clock)
        self.version.pool.put(job)
        deadlines.watch(job)
        self.stage.turn()
        self.clock.advance(1 + GRAIN)
        assert isinstance(job.observer, CollectingObserver)
        (error,) = job.observer.errors
        assert isinstance(error, DeadlinePassed)
        self.assertFalse(error.started)
        self.process.answer(seconds=FAST)
        self.assertEqual(self.bodies(self.process), [])

    def test_only_the_late_call_fails_and_those_that_are_done_are_answered(self) -> None:
        self.prepare(retry_on_worker_death=0)
        done, late, behind = self.ask(b"done", b"late", b"behind")
        self.process.done = 1
        self.clock.advance(LONG)
        self.assertEqual(done.bodies, [b"done"])
        self.clock.advance(1.9)
        self.assertEqual(late.errors, [])
        self.clock.advance(0.2)
        (error,) = late.errors
        assert isinstance(error, WorkerDied)
        self.assertEqual((error.failure.cause, behind.errors), ("response timeout", []))

    def test_answers_are_looked_for_again_behind_a_call_that_goes_on(self) -> None:
        """The worker may have been between two calls at the first look."""
        self.prepare()
        done, _ = self.ask(b"done", b"long")
        self.clock.advance(LONG)
        self.process.done = 1
        self.clock.advance(LONG)
        self.assertEqual(done.bodies, [b"done"])

    def test_a_crash_is_counted_against_the_present_call_alone(self) -> None:
        self.prepare(retry_on_worker_death=0)
        killer, behind = self.ask(b"killer", b"behind")
        self.process.exit(CRASH)
        self.assertEqual((len(killer.errors), behind.errors), (1, []))
        self.clock.advance(0)
        self.process.load()
        self.stage.turn()
        self.process.answer()
        self.assertEqual(behind.bodies, [b"behind"])
        self.assertEqual(self.stage.recorder.counts.get(("job_retried", "resnet"), 0), 0)

    def test_a_worker_that_leaves_gives_back_what_it_has_not_begun(self) -> None:
        self.prepare(2)
        self.ask(b"a", b"b", b"c", b"d")
        first, second = self.stage.backend.workers
        self.version.pool.scale(1, 1)
        self.stage.turn()
        self.assertEqual((len(self.bodies(second)), len(self.bodies(first))), (1, 3))

    def test_full_batches_that_wait_go_to_the_free_worker_as_batches(self) -> None:
        self.prepare(2, batch_size=2, max_batch_delay=60.0)
        self.ask(*[b"%d" % number for number in range(8)])
        first, second = self.stage.backend.workers
        behind = [job.request.body for job in first.batches[1][1]]
        while second.batches:
            second.answer(seconds=FAST)
        self.pass_time()
        self.assertEqual(len(first.batches), 1)
        self.assertEqual([[job.request.body for job in jobs] for _, jobs in second.batches], [behind])


STEPS = [
    *("ask", "ask", "ask", "answer 0", "answer 1", "time", "time", "leave", "done 0", "done 1"),
    *("crash", "stall 0", "stall 1", "resume"),
]


class AheadLaws(SynchronousTestCase):
    """However jobs, workers and clients take turns."""

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(STEPS), max_size=80))
    def test_no_job_is_lost_and_none_is_run_twice(self, steps: list[str]) -> None:
        stage = Stage(loads=True)
        timeouts = Timeouts(startup=80.0, response=60.0, recovery=640.0, grace=4.0)
        version = stage.version(make_spec(timeouts=timeouts, job_queue_size=12, retry_on_worker_death=0))
        version.pool.scale(2, 2)
        stage.turn()
        jobs: list[Job] = []
        for step in steps:
            word, _, which = step.partition(" ")
            alive = [worker for worker in stage.backend.workers if not worker.is_gone]
            worker = alive[int(which)] if which and len(alive) > int(which) else alive[0] if alive else None
            if word == "ask":
                job = make_job(b"%d" % len(jobs), stage.clock.seconds())
                try:
                    version.pool.put(job)
                    jobs.append(job)
                except ServingError:
                    held = version.queue.length + version.pool.jobs_ahead
                    self.assertGreaterEqual(held, 12)
            elif word == "leave" and jobs:
                jobs[len(jobs) // 2].withdraw()
            elif word == "resume":
                for each in alive:
                    each.begins = True
            elif worker is not None:
                self._happen(word, worker)
            stage.turn()
            if word == "time":
                stage.clock.advance(0.001)
        self._finish(stage, jobs)
        version.pool.scale(0, 0)
        version.queue.fail_all(NoWorkers("resnet", None))

    def _happen(self, word: str, worker: MemoryWorker) -> None:
        if word == "answer" and worker.batches and (worker.begins or worker.done):
            worker.done = max(0, worker.done - 1)
            worker.answer(seconds=FAST)
        elif word == "done" and worker.begins and worker.done + 1 < len(worker.batches):
            worker.done += 1
        elif word == "stall":
            worker.begins = False
        elif word == "crash" and worker.batches:
            worker.exit(CRASH)

    def _finish(self, stage: Stage, jobs: list[Job]) -> None:
        """Let everybody come to an end."""
        for _ in range(200):
            stage.clock.advance(1)
            for worker in stage.backend.workers:
                if not worker.is_gone:
                    worker.begins = True
                    worker.done = 0
                    if worker.batches:
                        worker.answer(seconds=FAST)
                    else:
                        worker.pass_over()
                        worker.events.turn_ended()
            stage.turn()
        answered = Counter(job.request.body for job in jobs if self._told(job))
        self.assertEqual(max(answered.values(), default=1), 1)
        self.assertTrue(all(job.finished for job in jobs))

    def _told(self, job: Job) -> bool:
        assert isinstance(job.observer, CollectingObserver)
        self.assertLessEqual(len(job.observer.answers) + len(job.observer.errors), 1)
        return bool(job.observer.answers)
