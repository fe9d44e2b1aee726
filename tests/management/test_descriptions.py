"""What processes and GPUs show of workers."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.devices import GpuMemory, GpuUsage
from modelserver.management.descriptions import Facts, describe_version
from modelserver.rest.dialects.bodies import memory_apart
from modelserver.spec import ProcessMemory, WorkerPlace
from modelserver.testing.providers import Stage, make_spec
from modelserver.version_settings.values import Autoscaling, WorkerRange


class GpuTests(SynchronousTestCase):
    """Bytes of a GPU, by process."""

    def test_memory_of_a_process_is_its_workers(self) -> None:
        stage = Stage(gpus=1, loads=True)
        version = stage.version(make_spec())
        version.pool.scale(2, 2)
        stage.turn()
        first, second = version.pool.workers
        assert first.pid is not None and second.pid is not None
        load = GpuUsage(1.0, 2.0, 5 << 30, 80 << 30, {first.pid: 3 << 30, 1: 1 << 30})
        facts = Facts({first.pid: ProcessMemory(100)}, {0: load})
        described = describe_version(version, True, facts).workers
        self.assertEqual([worker.gpu_memory for worker in described], [GpuMemory(driver=3 << 30), None])
        self.assertEqual([memory_apart(worker) for worker in described], [{"gpuMemory": 3 << 30}, {}])
        self.assertIsNone(describe_version(version, True).workers[0].gpu_memory)

    def test_what_a_worker_tells_is_beside_what_the_driver_tells(self) -> None:
        stage = Stage(gpus=1, loads=True)
        version = stage.version(make_spec())
        version.pool.scale(2, 2)
        stage.turn()
        for process in stage.backend.workers:
            process.gpu_memory = GpuMemory(100, 300, 200)
        known = version.pool.workers[0].pid
        assert known is not None
        facts = Facts({}, {0: GpuUsage(1.0, 2.0, 5000, 8000, {known: 450})})
        first, second = describe_version(version, True, facts).workers
        own = {"gpuMemoryAllocated": 100, "gpuMemoryReserved": 300, "gpuMemoryPeak": 200}
        self.assertEqual(memory_apart(first), {**own, "gpuMemory": 450, "gpuMemoryOther": 150})
        self.assertEqual(memory_apart(second), {**own, "gpuMemory": 300})

    def test_load_of_a_node_s_gpu_is_its_worker_s(self) -> None:
        stage = Stage(gpus=1, loads=True)
        version = stage.version(make_spec())
        version.pool.scale(1, 1)
        stage.turn()
        (process,) = stage.backend.workers
        process.place = WorkerPlace(
            "b", pid=4711, gpu=GpuUsage(40.0, 20.0, 3 << 20, 8 << 20, {4711: 1 << 20})
        )
        process.gpu_memory = GpuMemory(100, 300, 200)
        here = Facts({}, {0: GpuUsage(1.0, 2.0, 5000, 8000)})
        (worker,) = describe_version(version, True, here).workers
        self.assertEqual(GpuMemory(100, 300, 200, 1 << 20), worker.gpu_memory)
        told = "gpuId::0 utilization.gpu::40 % utilization.memory::20 % memory.used::3 MiB"
        self.assertEqual(told, worker.gpu_usage)


class SettingsTests(SynchronousTestCase):
    """The settings that hold now."""

    def test_present_ones_are_told_and_made_anew_when_they_change(self) -> None:
        stage = Stage(loads=True)
        version = stage.version(make_spec())
        version.pool.scale(1, 1)
        first = describe_version(version, True).spec
        self.assertIs(first, describe_version(version, True).spec)
        version.pool.scale(2, 3)
        second = describe_version(version, True)
        self.assertEqual(WorkerRange(2, 3), second.spec.workers)
        self.assertEqual(version.spec.workers, second.registered)
        version.renew(evolve(version.spec, handler="another"))
        self.assertEqual("another", describe_version(version, True).spec.handler)
        version.scaling.change(Autoscaling(enabled=True), WorkerRange(1, 4))
        third = describe_version(version, True).spec
        self.assertEqual((True, WorkerRange(1, 4)), (third.autoscaling.enabled, third.workers))
