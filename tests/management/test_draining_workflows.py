"""A server that stops lets runs of workflows go on to their ends."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import NoWorkers
from modelserver.management.draining import Draining
from modelserver.testing.providers import make_job, make_spec
from tests.harness.run_stage import CHAIN, FAILURE, RunStage


class RunsTests(SynchronousTestCase):
    """The nodes of a run in progress are called until it has ended."""

    def setUp(self) -> None:
        self.workflow = RunStage(CHAIN)
        self.models = self.workflow.models
        self.other = self.workflow.stage.version(make_spec("other"))
        self.models.add(self.other)
        self.draining = Draining(self.models, self.workflow.clock, self.workflow.workflows)
        self.observer, _ = self.workflow.ask()

    def finish(self, timeout: float) -> Deferred[None]:
        return Deferred.fromCoroutine(self.draining.finish(timeout))

    def test_runs_in_progress_end_and_none_begins(self) -> None:
        finished = self.finish(10.0)
        with self.assertRaises(NoWorkers) as raised:
            self.workflow.ask()
        self.assertEqual(("w", "the server is stopping"), (raised.exception.model, raised.exception.reason))
        with self.assertRaises(NoWorkers):
            self.other.pool.put(make_job())
        self.workflow.answer("pre", b"p")
        self.workflow.answer("mid", FAILURE)
        self.workflow.answer("mid", b"m")
        self.assertNoResult(finished)
        self.workflow.answer("post", b"done")
        self.workflow.stage.turn()
        self.assertEqual([b"done"], self.observer.bodies)
        self.successResultOf(finished)
        for version in self.models.all():
            self.assertIsNotNone(version.queue.closed)

    def test_runs_that_take_longer_are_failed(self) -> None:
        finished = self.finish(5.0)
        self.workflow.answer("pre", b"p")
        self.workflow.clock.pump([1.0] * 12)
        self.successResultOf(finished)
        self.assertEqual(([], 1), (self.observer.answers, len(self.observer.errors)))
        self.assertEqual(0, self.workflow.workflows.runs_of())

    def test_server_without_runs_waits_for_none(self) -> None:
        for node, body in (("pre", b"p"), ("mid", b"m"), ("post", b"done")):
            self.workflow.answer(node, body)
        self.successResultOf(self.finish(5.0))
