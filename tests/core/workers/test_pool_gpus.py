"""Which GPUs the workers of a pool get."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.testing.providers import Stage, make_spec


class GpuTests(SynchronousTestCase):
    """Workers spread over the GPUs there are."""

    def test_round_robin_from_gpu_0_and_balance_by_who_is_there(self) -> None:
        stage = Stage(gpus=2)
        first, second = stage.version(make_spec("a")), stage.version(make_spec("b"))
        first.pool.scale(3, 3)
        second.pool.scale(1, 1)
        self.assertEqual([worker.spec.gpu_id for worker in first.pool.workers], [0, 1, 0])
        self.assertEqual([worker.spec.gpu_id for worker in second.pool.workers], [1])
        first.pool.scale(1, 1)
        second.pool.scale(2, 2)
        self.assertEqual([worker.spec.gpu_id for worker in second.pool.workers], [1, 0])

    def test_without_gpus_there_is_no_gpu_id(self) -> None:
        stage = Stage()
        version = stage.version(make_spec())
        version.pool.scale(1, 1)
        self.assertIsNone(version.pool.workers[0].spec.gpu_id)

    def test_device_type_cpu_takes_none(self) -> None:
        stage = Stage(gpus=2)
        version = stage.version(make_spec(device_type="cpu"))
        version.pool.scale(1, 1)
        self.assertIsNone(version.pool.workers[0].spec.gpu_id)

    def test_number_gpu_puts_so_many_on_gpus(self) -> None:
        stage = Stage(gpus=2)
        version = stage.version(make_spec())
        version.pool.scale(3, 3, gpu_workers=1)
        self.assertEqual([worker.spec.gpu_id for worker in version.pool.workers], [0, None, None])

    def test_a_worker_may_span_gpus(self) -> None:
        stage = Stage(gpus=4)
        version = stage.version(make_spec(parallel_level=2))
        version.pool.scale(2, 2)
        self.assertEqual([w.spec.visible_devices for w in version.pool.workers], [(0, 1), (2, 3)])

    def test_a_part_of_a_gpu_is_all_that_its_worker_sees(self) -> None:
        stage = Stage(gpus=2)
        stage.devices.parts = frozenset((1,))
        version = stage.version(make_spec())
        version.pool.scale(2, 2)
        seen = [(worker.spec.gpu_id, worker.spec.visible_devices) for worker in version.pool.workers]
        self.assertEqual(seen, [(0, None), (0, (1,))])
        self.assertEqual([worker.gpu_id for worker in version.pool.describe()], [0, 1])
