"""Runs end whatever fails, and nothing is left of them: no place, no job, no run."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from unittest import TestCase

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import InternalError, PredictionFailed
from modelserver.execution.node_run import NodeCall, NodeRun
from modelserver.execution.payloads import Payload
from modelserver.execution.run import WorkflowRun
from modelserver.jobs import Answer, Inputs, Job, ResponseObserver
from modelserver.testing.providers import CollectingObserver
from tests.harness.defects import FailingRecorder
from tests.harness.run_stage import CHAIN, DIAMOND, FAILURE, RunStage, settings

LARGE = b"x" * (1 << 16)


class DefectTests(SynchronousTestCase):
    """Something of the server's own fails, in the middle of a run whose bodies lie in shared memory."""

    def setUp(self) -> None:
        self.on = RunStage(CHAIN, has_slots=True)
        assert self.on.slots is not None
        self.slots = self.on.slots
        self.addCleanup(self.slots.close)
        self.free = self.slots.free

    def refuse(self, node: str, after: int = 0) -> None:
        """Have jobs of a node fail on their way to the queue, after some that do not."""
        left = after

        def enqueue(name: str, version: str | None, inputs: Inputs, observer: ResponseObserver) -> Job:
            nonlocal left
            if name == self.on.workflow.models[node].name:
                left -= 1
                if left < 0:
                    raise ZeroDivisionError(name)
            return self.on.inference.enqueue(name, version, inputs, observer)

        self.on.workflows.services = evolve(self.on.services, enqueue=enqueue)

    def assert_nothing_is_left(self) -> None:
        self.assertEqual(0, self.on.workflows.runs_of())
        self.assertEqual(self.free, self.slots.free)
        self.assertEqual(1, self.on.counts["workflow_ended", "w", "other"])

    def assert_failed(self, observer: CollectingObserver) -> None:
        """The client was told so, once, and the log why."""
        self.assertEqual([repr(InternalError())], observer.reasons)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assert_nothing_is_left()

    def test_first_job_fails_on_its_way(self) -> None:
        self.refuse("pre")
        with self.assertRaises(ZeroDivisionError):
            self.on.ask(self.on.slot(LARGE))
        self.assert_nothing_is_left()

    def test_job_of_a_later_node_fails_on_its_way(self) -> None:
        self.refuse("mid")
        observer, _ = self.on.ask(self.on.slot(LARGE))
        self.on.answer("pre", LARGE)
        self.assert_failed(observer)

    def test_second_attempt_fails_on_its_way(self) -> None:
        self.refuse("pre", after=1)
        observer, _ = self.on.ask(self.on.slot(LARGE))
        self.on.answer("pre", FAILURE)
        self.assert_failed(observer)

    def test_answer_cannot_be_counted(self) -> None:
        self.answer_uncounted("answered", Answer(200, b"", LARGE))

    def test_failure_cannot_be_counted(self) -> None:
        self.answer_uncounted("handler", FAILURE)

    def answer_uncounted(self, outcome: str, answer: Answer | PredictionFailed) -> None:
        """Have the first node answer so, where attempts with such an outcome cannot be counted."""
        recorder = FailingRecorder(self.on.stage.recorder.counts, fails="node_called", word=outcome)
        self.on.workflows.services = evolve(self.on.services, recorder=recorder)
        observer, _ = self.on.ask(self.on.slot(LARGE))
        self.on.answer("pre", answer)
        self.assert_failed(observer)

    def test_client_cannot_take_the_answer(self) -> None:
        class Broken(CollectingObserver):
            def completed(self, job: Job, answer: Answer) -> None:
                raise ZeroDivisionError

        self.on.workflows.predict("w", None, Inputs(b"", b"", self.on.slot(LARGE)), Broken())
        self.on.stage.turn()
        for node in ("pre", "mid", "post"):
            self.on.answer(node, LARGE)
        self.assertEqual(1, len(self.flushLoggedErrors(ZeroDivisionError)))
        self.assertEqual((0, self.free), (self.on.workflows.runs_of(), self.slots.free))


COUNTED = (Job, NodeCall, NodeRun, Payload, WorkflowRun)


class CircleTests(TestCase):
    """Runs go without the garbage collector, however they end."""

    def setUp(self) -> None:
        self.on = RunStage(DIAMOND, right=settings("right", retry_attempts=0, timeout=1.0))

    def answer(self, *nodes: str) -> None:
        for node in nodes:
            self.on.answer(node, b"1")

    def fail_once(self, job: Job) -> None:
        self.answer("pre")
        self.on.answer("right", FAILURE)
        self.answer("left")

    def be_slow(self, job: Job) -> None:
        self.answer("pre")
        self.on.clock.advance(1.0)
        self.answer("left", "right")

    def be_too_slow(self, job: Job) -> None:
        self.on.clock.advance(3.0)
        self.answer("pre")

    def leave(self, job: Job) -> None:
        self.answer("pre")
        job.withdraw()
        self.answer("left", "right")

    def test_nothing_of_a_run_is_left_to_the_collector(self) -> None:
        ends: tuple[Callable[[Job], object], ...] = (
            lambda job: self.answer("pre", "left", "right", "post"),
            self.fail_once,
            self.be_slow,
            self.be_too_slow,
            self.leave,
        )
        gc.collect()
        before = counted()
        gc.disable()
        self.addCleanup(gc.enable)
        for number, end in enumerate(ends):
            end(self.on.ask(timeout=3.0)[1])
            self.assertEqual(before, counted(), f"of a run that ended in way {number}")


def counted() -> Counter[str]:
    """How many there are of what a run consists of."""
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, COUNTED))
