"""From a front's inputs to a job in a queue, and what is counted on the way."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.inference.predict import Inference
from modelserver.jobs import Inputs, SharedSlot
from modelserver.testing.providers import CollectingObserver, Stage, make_spec
from tests.harness.defects import FailingRecorder


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


class DefectTests(SynchronousTestCase):
    """Where something of the server's own fails on the way, nothing is left of the request."""

    def setUp(self) -> None:
        self.stage = Stage(loads=True)
        registry, clock = Registry(), self.stage.clock
        self.version = self.stage.version(make_spec())
        registry.add(self.version)
        self.version.pool.scale(1, 1)
        self.stage.turn()
        self.inference = Inference(registry, Deadlines(clock), clock, self.stage.recorder, bytes)

    def assert_gone(self, inference: Inference) -> None:
        """Ask: the worker gets nothing that could lie where another request's body lies by then."""
        freed: list[None] = []
        body = SharedSlot(0, 1, lambda: freed.append(None))
        with self.assertRaises(ZeroDivisionError):
            inference.predict(self.version.spec.name, None, Inputs(b"", b"", body), CollectingObserver(), 1.0)
        body.free()
        self.stage.turn()
        self.assertEqual(([], 0), (self.stage.backend.last.batches, self.version.queue.waiting))
        self.assertEqual((1, 0), (len(freed), len(inference.deadlines)))

    def test_recorder_fails(self) -> None:
        self.assert_gone(evolve(self.inference, recorder=FailingRecorder(fails="request_arrived")))

    def test_event_loop_takes_no_call(self) -> None:
        def refuse(call: Callable[[], None]) -> None:
            raise ZeroDivisionError

        pool = self.version.pool
        pool.providers = evolve(pool.providers, call_soon=refuse)
        self.assert_gone(self.inference)
