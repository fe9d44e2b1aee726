"""The driver's word moves workers from a GPU to another."""

from __future__ import annotations

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import Registry
from modelserver.server.gpu_health import INTERVAL, GpuHealth
from modelserver.testing.providers import FakeInventory, Stage, make_spec
from tests.harness.threads import at_once


class GpuHealthTests(SynchronousTestCase):
    """Two GPUs, of which one falls ill."""

    def test_workers_leave_an_ill_gpu_and_new_ones_come_back_when_it_is_well(self) -> None:
        stage, inventory, registry = Stage(gpus=2, loads=True), FakeInventory(2), Registry()
        version = stage.version(make_spec())
        registry.add(version)
        health = GpuHealth(stage.clock, at_once, inventory, registry, stage.providers)
        health.start()
        self.addCleanup(health.stop)
        version.pool.scale(2, 2)
        stage.turn()
        inventory.illnesses[0] = "the GPU has to be reset"
        with capturedLogs() as events:
            stage.clock.pump([INTERVAL, 0, 0, 0])
        self.assertIn(
            "GPU 0 is set aside: the GPU has to be reset. Its workers go to others.",
            [formatEvent(event) for event in events],
        )
        self.assertEqual([worker.spec.gpu_id for worker in version.pool.workers], [1, 1])
        self.assertEqual(version.pool.ready, 2)
        self.assertEqual(stage.devices.aside(), {0: "the GPU has to be reset", 1: None})
        inventory.illnesses.clear()
        stage.clock.pump([INTERVAL, 0])
        version.pool.scale(3, 3)
        self.assertEqual(version.pool.workers[-1].spec.gpu_id, 0)

    def test_without_gpus_nobody_is_asked(self) -> None:
        stage = Stage()
        GpuHealth(stage.clock, at_once, FakeInventory(), Registry(), stage.providers).start()
        self.assertEqual(stage.clock.getDelayedCalls(), [])
