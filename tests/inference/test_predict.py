"""From a front's inputs to a job in a queue, and what is counted on the way."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.inference.predict import Inference
from modelserver.jobs import Inputs
from modelserver.testing.providers import CollectingObserver, Stage, make_spec


class CountingTests(SynchronousTestCase):
    """Requests and their latencies are counted under one label: the version that the client named."""

    def setUp(self) -> None:
        self.stage = Stage(loads=True)
        registry = Registry()
        version = self.stage.version(make_spec())
        registry.add(version)
        version.pool.scale(1, 1)
        self.stage.turn()
        self.spec = version.spec
        self.inference = Inference(
            registry, Deadlines(self.stage.clock), self.stage.clock, self.stage.recorder, bytes
        )

    def predict(self, version: str | None) -> None:
        observer = CollectingObserver()
        self.inference.predict(self.spec.name, version, Inputs(b"", b"", b"x"), observer)
        self.stage.turn()
        self.stage.backend.last.answer()
        self.stage.turn()

    def test_version_that_was_named(self) -> None:
        for version in (None, self.spec.version, self.spec.version):
            self.predict(version)
        counts = self.stage.recorder.counts
        name = self.spec.name
        self.assertEqual(counts["job_finished", name], 1)
        self.assertEqual(counts["job_finished", name, self.spec.version], 2)
