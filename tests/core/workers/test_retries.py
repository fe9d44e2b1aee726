"""A worker that dies takes no innocent job with it."""

from __future__ import annotations

import hypothesis.strategies as st
from attrs import define, field
from hypothesis import example, given, settings
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.version import ModelVersion
from modelserver.errors import NoWorkers, Unregistered, WorkerDied
from modelserver.spec import WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_job, make_spec
from modelserver.version_settings.values import Timeouts
from tests.harness.workers import CRASH, WorkerTestCase

TIMEOUTS = Timeouts(startup=8.0, response=2.0, recovery=64.0, grace=4.0)


class RetryTests(WorkerTestCase):
    """What becomes of the jobs of a worker that died."""

    settings = {"timeouts": TIMEOUTS, "max_batch_delay": 0.5}

    def bodies_in_hand(self, process: MemoryWorker) -> list[list[object]]:
        return [[job.request.body for job in jobs] for _, jobs in process.batches]

    def come_back(self) -> None:
        """Let a replacement be launched and load."""
        self.clock.advance(1)
        self.process.load()
        self.stage.turn()

    def test_a_killed_workers_job_is_answered_by_its_replacement(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.exit(CRASH)
        self.assertEqual(observer.errors, [])
        self.come_back()
        self.process.answer()
        self.assertEqual(observer.bodies, [b"a"])
        self.assertEqual(self.stage.recorder.counts["job_retried", "resnet"], 1)

    def test_another_worker_takes_the_job_at_once(self) -> None:
        self.scaled(2)
        (observer,) = self.ask(b"a")
        first, second = self.stage.backend.workers
        has_it, other = (first, second) if first.batches else (second, first)
        has_it.exit(CRASH)
        self.stage.turn()
        other.answer()
        self.assertEqual(observer.bodies, [b"a"])

    def test_the_job_that_kills_two_workers_is_told_why(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.come_back()
        self.process.exit(CRASH)
        self.assertEqual(observer.reasons, [repr(WorkerDied(CRASH))])

    def test_each_member_of_the_batch_goes_alone_and_only_the_killer_fails(self) -> None:
        self.scaled(batch_size=4)
        observers = self.ask(b"a", b"b", b"x", b"d")
        self.process.exit(CRASH)
        self.come_back()
        seen = []
        while any(not observer.answers and not observer.errors for observer in observers):
            (batch,) = self.bodies_in_hand(self.process)
            seen.append(batch)
            if batch == [b"x"]:
                self.process.exit(CRASH)
                self.come_back()
            else:
                self.process.answer()
        self.assertEqual(seen, [[b"a"], [b"b"], [b"x"], [b"d"]])
        self.assertEqual([observer.bodies for observer in observers], [[b"a"], [b"b"], [], [b"d"]])
        self.assertEqual(observers[2].reasons, [repr(WorkerDied(CRASH))])

    def test_nothing_is_sent_ahead_behind_a_job_that_is_tried_again(self) -> None:
        self.scaled()
        self.ask(b"w")
        self.process.answer(seconds=0.0001)
        self.ask(b"a", b"b", b"c")
        self.assertEqual(self.bodies_in_hand(self.process), [[b"a"], [b"b"], [b"c"]])
        self.process.exit(CRASH)
        self.clock.advance(0)
        self.process.load()
        self.ask(b"d")
        self.assertEqual(self.bodies_in_hand(self.process), [[b"a"]])
        self.process.answer(seconds=0.0001)
        self.assertEqual(self.bodies_in_hand(self.process), [[b"b"], [b"c"], [b"d"]])

    def test_those_behind_the_killer_have_their_second_chance_left(self) -> None:
        self.scaled()
        self.ask(b"w")
        self.process.answer(seconds=0.0001)
        _, second = self.ask(b"a", b"b")
        self.process.exit(CRASH)
        self.come_back()
        self.process.answer()
        self.process.exit(CRASH)
        self.come_back()
        self.process.answer()
        self.assertEqual(second.bodies, [b"b"])

    def test_a_request_over_which_its_answer_was_laid_is_not_tried_again(self) -> None:
        self.scaled()
        self.ask(b"w")
        self.process.answer(seconds=0.0001)
        torn, whole = self.ask(b"a", b"b")
        self.process.is_laying = True
        self.process.exit(CRASH)
        self.assertEqual(torn.reasons, [repr(WorkerDied(CRASH))])
        self.come_back()
        self.process.answer()
        self.assertEqual(whole.bodies, [b"b"])

    def test_a_job_that_timed_out_is_not_tried_again(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.clock.advance(2)
        (error,) = observer.errors
        assert isinstance(error, WorkerDied)
        self.assertEqual(error.failure.cause, "response timeout")

    def test_a_streamed_answer_that_has_begun_is_not_begun_again(self) -> None:
        self.scaled()
        (observer,) = self.ask(b"a")
        self.process.send_part(b"first")
        self.process.exit(CRASH)
        self.assertEqual(observer.reasons, [repr(WorkerDied(CRASH))])

    def test_the_job_of_a_client_who_left_is_dropped(self) -> None:
        self.scaled()
        job = make_job(b"a", 0.0)
        self.version.pool.put(job)
        self.stage.turn()
        job.cancel()
        self.process.exit(CRASH)
        self.assertEqual(self.version.queue.waiting, 0)
        self.assertNotIn(("job_retried", "resnet"), self.stage.recorder.counts)

    def test_a_model_may_forbid_it(self) -> None:
        self.scaled(retry_on_worker_death=0)
        (observer,) = self.ask(b"a")
        self.process.exit(CRASH)
        self.assertEqual(observer.reasons, [repr(WorkerDied(CRASH))])

    def test_without_a_worker_to_come_nobody_waits(self) -> None:
        self.scaled()
        self.ask(b"w")
        self.process.answer(seconds=0.0001)
        first, second = self.ask(b"a", b"b")
        failure = WorkerFailure("load", 0.0, exception="ImportError", permanent=True)
        self.process.exit(failure)
        for observer in (first, second):
            (error,) = observer.errors
            assert isinstance(error, NoWorkers)
            self.assertIn("ImportError", error.reason)

    def test_a_version_that_goes_answers_what_its_workers_did_not_finish(self) -> None:
        self.scaled()
        self.ask(b"w")
        self.process.answer(seconds=0.0001)
        first, second = self.ask(b"a", b"b")
        self.version.queue.close(Unregistered("resnet"))
        gone = self.version.pool.close(drain=1.0)
        self.clock.advance(1)
        self.successResultOf(gone)
        self.assertEqual([type(error) for error in first.errors], [WorkerDied])
        self.assertEqual([type(error) for error in second.errors], [Unregistered])

    def test_scaling_down_leaves_unfinished_jobs_to_the_others(self) -> None:
        self.scaled(2)
        observers = self.ask(b"a", b"b")
        self.version.pool.scale(1, 1, drain=1.0)
        staying, leaving = self.stage.backend.workers
        self.clock.advance(1)
        self.assertTrue(leaving.is_gone)
        staying.answer()
        staying.answer()
        self.assertEqual(sorted(observer.bodies[0] for observer in observers), [b"a", b"b"])


@define(eq=False)
class Playing:
    """
    Workers that run their batches in order, and die of poison.

    :param held: how many finished answers a worker may keep, to send them with the next one.
    """

    stage: Stage
    version: ModelVersion
    held: int
    deaths: int = field(default=0, init=False)

    def play(self) -> None:
        """Let everything happen, until all is quiet."""
        for _ in range(400):
            self.stage.clock.advance(1)
            for process in list(self.stage.backend.workers):
                if not process.is_gone:
                    self._act(process)
            self.stage.turn()

    def _act(self, process: MemoryWorker) -> None:
        if getattr(process.events, "state", None) is WorkerState.STARTING:
            process.load()
        while len(process.batches) > process.done:
            _, jobs = process.batches[process.done]
            if any(job.request.body == b"poison" for job in jobs):
                self.deaths += 1
                process.exit(CRASH)
                return
            process.done += 1
            if process.done > self.held:
                self._report(process)
        self._report(process)

    def _report(self, process: MemoryWorker) -> None:
        done, process.done = process.done, 0
        for _ in range(done):
            process.answer(seconds=0.0001)


class PoisonLawTests(SynchronousTestCase):
    """Whatever is mixed: who kills is told so, and everybody else is answered."""

    @settings(deadline=None, max_examples=60)
    @example(waves=[[b"good"] * 3, [b"good", b"poison", b"good", b"good"]], batch_size=1, workers=3, held=1)
    @given(
        st.lists(st.lists(st.sampled_from([b"good", b"good", b"good", b"poison"]), max_size=12), max_size=3),
        st.integers(1, 8),
        st.integers(1, 3),
        st.integers(0, 3),
    )
    def test_only_poison_fails(
        self, waves: list[list[bytes]], batch_size: int, workers: int, held: int
    ) -> None:
        stage = Stage()
        timeouts = Timeouts(startup=8.0, response=64.0, recovery=100_000.0, grace=4.0, longest_backoff=2.0)
        version = stage.version(make_spec(timeouts=timeouts, batch_size=batch_size, max_batch_delay=0.5))
        version.pool.scale(workers, workers)
        playing = Playing(stage, version, held)
        asked: list[tuple[bytes, CollectingObserver]] = []
        for wave in waves:
            for body in wave:
                observer = CollectingObserver()
                version.pool.put(make_job(body, stage.clock.seconds(), observer))
                asked.append((body, observer))
            playing.play()
        for body, observer in asked:
            if body == b"good":
                self.assertEqual((observer.bodies, observer.errors), ([b"good"], []))
            else:
                self.assertEqual([type(error) for error in observer.errors], [WorkerDied])
        poison = sum(body == b"poison" for body, _ in asked)
        self.assertLessEqual(playing.deaths, 2 * poison)
