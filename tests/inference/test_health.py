"""Whether the server and its models can answer, as any front is told."""

from __future__ import annotations

from unittest import TestCase

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.errors import ModelNotFound, VersionNotFound
from modelserver.inference.health import Health, Readiness, ServerHealth, health_of, is_model_ready
from modelserver.inference.load_status import LoadStatus
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import Stage, make_job, make_spec


class HealthTests(TestCase):
    """Two models in memory: ``a`` is to have a worker, ``b`` none."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.registry = Registry()
        self.load_status = LoadStatus()
        self.is_stopping = False
        self.health = ServerHealth(self.registry, self.load_status, lambda: self.is_stopping)
        self.a, self.b = self.add("a"), self.add("b")
        self.a.pool.scale(1, 1)

    def add(self, name: str) -> ModelVersion:
        version = self.stage.version(make_spec(name))
        self.registry.add(version)
        return version

    def load(self) -> None:
        self.stage.backend.last.load()
        self.stage.turn()

    def test_workers_are_counted(self) -> None:
        self.assertEqual(health_of(self.registry), Health(1, 1, is_healthy=True))
        self.load()
        self.assertEqual(health_of(self.registry), Health(1, 1, is_healthy=True))

    def test_a_worker_that_has_failed_does_not_run_before_it_is_ready_again(self) -> None:
        self.stage.backend.last.exit(WorkerFailure("load", 0.0))
        self.assertEqual(health_of(self.registry).running, 0)
        self.stage.clock.advance(5)
        self.assertEqual(health_of(self.registry).running, 0)
        self.load()
        self.assertEqual(health_of(self.registry).running, 1)

    def test_a_model_without_its_worker_is_not_ready(self) -> None:
        self.assertEqual(self.health.readiness(), Readiness(("a",)))
        self.assertFalse(self.health.readiness().is_ready)
        self.load()
        self.assertEqual(self.health.readiness(), Readiness())
        self.assertTrue(self.health.readiness().is_ready)

    def test_a_model_that_a_request_wakes_is_ready(self) -> None:
        self.load()
        self.assertFalse(is_model_ready(self.registry, "b"))
        self.b.pool.waking.open(lambda: self.b.pool.scale(1, 1), 5.0)
        self.assertTrue(is_model_ready(self.registry, "b"))
        self.b.pool.put(make_job())
        self.stage.turn()
        self.assertEqual(self.health.readiness(), Readiness())
        self.assertTrue(is_model_ready(self.registry, "b"))
        self.assertTrue(self.health.is_ready())

    def test_a_model_that_was_woken_and_cannot_load_is_not_ready(self) -> None:
        self.load()
        self.b.pool.waking.open(lambda: self.b.pool.scale(1, 1), 5.0)
        self.b.pool.put(make_job())
        self.stage.turn()
        self.stage.backend.last.exit(WorkerFailure("load", 0.0, permanent=True))
        self.assertEqual(self.health.readiness(), Readiness(("b",)))
        self.assertFalse(is_model_ready(self.registry, "b"))

    def test_a_model_that_is_still_loaded_is_not_ready(self) -> None:
        self.load()
        self.load_status.expect(["c"])
        self.assertEqual(self.health.readiness(), Readiness(("c",)))

    def test_a_server_that_stops_is_live_and_not_ready(self) -> None:
        self.load()
        self.assertTrue(self.health.is_ready())
        self.is_stopping = True
        self.assertEqual(self.health.readiness(), Readiness((), is_stopping=True))
        self.assertFalse(self.health.readiness().is_ready)
        self.assertFalse(self.health.is_ready())
        self.assertTrue(self.health.is_live())

    def test_one_model(self) -> None:
        self.assertFalse(is_model_ready(self.registry, "a"))
        self.load()
        self.assertTrue(is_model_ready(self.registry, "a"))
        self.assertTrue(is_model_ready(self.registry, "a", self.a.spec.version))
        self.assertFalse(is_model_ready(self.registry, "b"))
        self.assertRaises(ModelNotFound, is_model_ready, self.registry, "c")
        self.assertRaises(VersionNotFound, is_model_ready, self.registry, "a", "99")
