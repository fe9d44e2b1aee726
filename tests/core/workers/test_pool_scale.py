"""A change of the number of workers happens, or changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.gpus import ANY, Devices
from modelserver.errors import NotEnoughDevices
from modelserver.spec import WorkerFailure, WorkerState
from modelserver.testing.providers import Stage, make_spec

PERMANENT = WorkerFailure("load", 0.0, exception="ImportError", text="no module", permanent=True)


class NotEnoughDevicesTests(SynchronousTestCase):
    """A version whose workers span more GPUs than there are."""

    def setUp(self) -> None:
        self.stage = Stage(gpus=3)
        self.pool = self.stage.version(make_spec(parallel_type="pp", parallel_level=2)).pool

    def test_nothing_changes(self) -> None:
        self.pool.scale(1, 2)
        self.stage.backend.workers[0].exit(PERMANENT)
        self.stage.turn()
        before = self.pool.describe()
        self.assertEqual([worker.state for worker in before], [WorkerState.FAILED])
        self.stage.devices.count = 1
        self.assertRaises(NotEnoughDevices, self.pool.scale, 4, 4)
        self.stage.turn()
        self.assertEqual((self.pool.minimum, self.pool.maximum), (1, 2))
        self.assertEqual(self.pool.describe(), before)
        self.assertEqual(len(self.stage.backend.workers), 1)

    def test_devices_go_back(self) -> None:
        devices = OneGroup(2, self.stage.devices.quarantine)
        self.stage.providers = evolve(self.stage.providers, devices=devices)
        pool = self.stage.version(make_spec(parallel_type="pp", parallel_level=2)).pool
        self.assertRaises(NotEnoughDevices, pool.scale, 2, 2)
        self.assertEqual((pool.workers, pool.minimum, devices.groups), ([], 0, 0))
        self.assertEqual([devices.take(), devices.take()], [0, 1])


class OneGroup(Devices):
    """Has one group to give, whatever its size."""

    groups = 1

    def take_group(
        self, size: int, wanted: Sequence[int] = (), free: Mapping[int, int] = ANY
    ) -> tuple[int, ...] | None:
        """The group, once."""
        if not self.groups:
            return None
        self.groups -= 1
        return super().take_group(size, wanted, free)


class ParallelWorkerTests(SynchronousTestCase):
    """A worker that spans devices has consecutive ones, and ids of its own."""

    def test_each_worker_has_its_group(self) -> None:
        stage = Stage(gpus=4)
        pool = stage.version(make_spec(parallel_type="tp", parallel_level=2)).pool
        pool.scale(2, 2)
        specs = [worker.spec for worker in pool.workers]
        self.assertEqual([(0, 1), (2, 3)], [spec.visible_devices for spec in specs])
        self.assertEqual([("29500", 0), ("29502", 0)], [(spec.id, spec.gpu_id) for spec in specs])

    def test_without_gpus_it_has_the_cpu(self) -> None:
        stage = Stage(gpus=0)
        stage.version(make_spec()).pool.scale(1, 1)
        pool = stage.version(make_spec("wide", parallel_type="tp", parallel_level=2)).pool
        pool.scale(1, 1)
        (spec,) = [worker.spec for worker in pool.workers]
        self.assertEqual(("29500", None, None), (spec.id, spec.gpu_id, spec.visible_devices))
