"""GPUs' memory is set aside as the machine's is, on the device that a worker gets."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.shortage import MemoryShort
from modelserver.core.version import ModelVersion
from modelserver.core.workers.placement import gpus_of
from modelserver.devices import HOST, GpuMemory
from modelserver.management.memory.accounts import OVERHEAD
from modelserver.spec import WorkerFailure, WorkerState
from modelserver.testing.providers import make_job
from tests.harness.memory import GUESS, BudgetStage


class GpuBudgetCase(SynchronousTestCase):
    """Workers of 300 bytes each, of which three fit on a GPU of 1,000."""

    gpus: dict[int, int] = {0: 1000, 1: 1000}
    parts: frozenset[int] = frozenset()

    def setUp(self) -> None:
        self.on = BudgetStage(0, gpus=dict(self.gpus), parts=self.parts)
        self.memory = self.on.memory

    def known(self, name: str, size: int = 300, **more: Any) -> ModelVersion:
        """A version that was measured before, without workers."""
        version = self.on.add(name, **more)
        self.memory.measured(version.spec, 0, 0, gpu=size)
        return version

    def loaded(self, name: str, size: int = 300, workers: int = 1, **more: Any) -> ModelVersion:
        """A version that was measured before, with workers."""
        version = self.known(name, size, **more)
        self.successResultOf(self.on.claim(version, workers))
        self.on.load(version)
        return version

    def refused(self, claim: Deferred[None]) -> MemoryShort:
        error: MemoryShort = self.failureResultOf(claim, MemoryShort).value
        return error

    def places(self, version: ModelVersion) -> list[tuple[int, ...]]:
        return [gpus_of(worker.spec) for worker in version.pool.workers]

    @property
    def free(self) -> list[int]:
        return list(self.memory.free_on_gpus().values())


class GpuBudgetTests(GpuBudgetCase):
    """Two GPUs."""

    def test_until_a_worker_was_measured_the_archive_counts_and_then_what_it_tells(self) -> None:
        for gpu in self.gpus:
            self.memory.limits[gpu] = 10 * GUESS
        version = self.on.add("a")
        self.successResultOf(self.on.claim(version))
        figures = self.memory.figures(version.spec)
        self.assertNotIn(HOST, figures)
        self.assertEqual(
            [(each.limit, each.reserved, each.expected, each.is_seen) for each in figures.values()],
            [(10 * GUESS, GUESS, GUESS, False), (10 * GUESS, 0, GUESS, False)],
        )
        self.on.stage.backend.last.gpu_memory = GpuMemory(100, 300, 200)
        self.on.load(version)
        figures = self.memory.figures(version.spec)
        self.assertEqual(
            [(each.reserved, each.expected, each.is_seen) for each in figures.values()],
            [(300, 300, True), (0, 300, True)],
        )

    def test_the_drivers_number_counts_where_it_is_larger(self) -> None:
        version = self.loaded("a")
        worker = self.on.stage.backend.last
        worker.gpu_memory = GpuMemory(100, 320, 200)
        for driver, expected in ((450, 450), (10, 450)):
            self.on.driver = {worker.pid or 0: driver}
            self.on.watch.measure_soon()
            self.assertEqual(self.memory.figures(version.spec)[0].expected, expected)
        self.assertEqual(self.free, [550, 1000])

    def test_workers_go_where_most_is_free(self) -> None:
        self.assertEqual(self.places(self.loaded("large", 700)), [(0,)])
        small = self.loaded("small", 200, workers=5)
        self.assertEqual(self.places(small), [(1,)] * 4 + [(0,)])
        self.assertEqual(self.free, [100, 200])

    def test_so_many_fit_as_all_gpus_have_room_for(self) -> None:
        version = self.known("a")
        self.assertEqual(self.memory.reserve(version.spec, 9), 6)
        version.pool.scale(5, 5)
        self.assertEqual(self.memory.reserve(version.spec, 9), 1)
        self.assertEqual(self.memory.obstacle(version.spec), "")
        version.pool.scale(6, 6)
        self.assertEqual(
            self.memory.obstacle(version.spec),
            "needs 300 bytes (as measured); 900 of the 1000 bytes of gpu_memory_limit on GPU 1 are reserved",
        )

    def test_where_nothing_fits_the_refusal_names_the_gpu_with_the_most_room_and_the_numbers(self) -> None:
        for name, size in (("a", 900), ("b", 800)):
            self.loaded(name, size).pool.put(make_job(b"x"))
        error = self.refused(self.on.claim(self.known("c")))
        self.assertEqual(
            str(error),
            "Model 'c' version 1.0 needs 300 bytes (as measured); 800 of the 1000 bytes of gpu_memory_limit "
            "on GPU 1 are reserved, and no idle model can leave.",
        )
        self.assertGreater(error.retry_after, 0)
        never = self.refused(self.on.claim(self.known("d", 1001)))
        self.assertEqual((never.needed, never.retry_after), (1001, 0.0))
        several = self.refused(self.on.claim(self.known("e", 90), 4))
        self.assertEqual((several.needed, several.reserved, several.place[-5:]), (270, 800, "GPU 1"))

    def test_only_versions_of_the_gpu_that_is_made_free_leave(self) -> None:
        a, b, c = self.loaded("a", 500), self.loaded("b", 600), self.loaded("c", 450)
        self.assertEqual([self.places(each) for each in (a, b, c)], [[(0,)], [(1,)], [(0,)]])
        for version in (a, b, c):
            self.on.use(version)
        d = self.known("d", 900)
        self.successResultOf(self.on.claim(d))
        self.assertEqual((self.on.names(), self.places(d)), ("acd", [(1,)]))
        self.assertEqual(self.memory.evictions, {("b", "1.0"): 1})

    def test_one_that_waits_gets_the_room_of_a_gpu_that_becomes_free(self) -> None:
        busy = [self.loaded(name, 900) for name in "ab"]
        for version in busy:
            version.pool.put(make_job(b"x"))
        self.on.stage.turn()
        c = self.known("c")
        waiting = self.on.claim(c, waits=True)
        self.memory.look()
        self.assertNoResult(waiting)
        next(each for each in self.on.stage.backend.workers if each.batches).answer()
        self.memory.look()
        self.successResultOf(waiting)
        self.assertEqual((self.on.names(), self.places(c)), ("bc", [(0,)]))

    def test_one_that_grows_makes_those_leave_that_have_the_same_gpu(self) -> None:
        self.loaded("a", 600)
        self.loaded("b", 300)
        self.loaded("c", 300)
        self.assertEqual(self.free, [400, 400])
        d = self.loaded("d", 400)
        self.assertEqual(self.places(d), [(0,)])
        self.on.use(d)
        self.memory.measured(d.spec, 0, 0, gpu=500)
        self.memory.look()
        self.assertEqual((self.on.names(), self.free), ("bcd", [500, 400]))

    def test_a_worker_that_is_killed_keeps_its_room_once_and_gives_it_back_when_it_leaves(self) -> None:
        version = self.loaded("a")
        self.on.stage.backend.last.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.assertEqual(self.free, [700, 1000])
        self.on.stage.clock.advance(1)
        self.on.load(version)
        self.assertEqual(self.free, [700, 1000])
        version.pool.scale(0, 0)
        self.on.stage.backend.last.exit(WorkerFailure("signal", 0.0, signal="SIGKILL"))
        self.on.stage.turn()
        self.assertEqual(self.free, [1000, 1000])

    def test_a_version_that_is_unregistered_gives_its_room_back(self) -> None:
        version = self.loaded("a", workers=4)
        self.assertEqual(self.free, [400, 400])
        self.on.registry.remove("a")
        version.pool.close(0.0)
        self.on.stage.turn()
        self.assertEqual(self.free, [1000, 1000])

    def test_a_worker_that_moves_from_a_gpu_takes_its_room_along(self) -> None:
        version = self.loaded("a")
        self.on.stage.devices.quarantine.examined(0, "it is lost")
        self.on.stage.backend.last.exit(WorkerFailure("device", 0.0))
        self.assertEqual(self.places(version), [(1,)])
        self.assertEqual(self.free, [1000, 700])
        self.assertEqual(self.memory.reserve(version.spec, 9), 2, "the other one is set aside")

    def test_workers_without_gpus_need_none_of_their_memory(self) -> None:
        for name in "ab":
            self.loaded(name, 900).pool.put(make_job(b"x"))
        self.successResultOf(self.on.claim(self.known("c", device_type="cpu")))
        d = self.known("d")
        self.successResultOf(self.memory.claim(d.spec, 2, on_gpus=0))
        self.refused(self.memory.claim(d.spec, 2, on_gpus=1))
        self.assertEqual(self.free, [100, 100])

    def test_who_waits_for_gpus_holds_up_those_alone_who_need_them_too(self) -> None:
        for name in "ab":
            self.loaded(name, 900).pool.put(make_job(b"x"))
        waiting = self.on.claim(self.known("c", 300), waits=True)
        self.assertNoResult(waiting)
        error = self.refused(self.on.claim(self.known("d", 50)))
        self.assertEqual((error.needed, error.reserved, error.limit), (50, 900, 1000), "it came later")
        without = self.known("e", device_type="cpu")
        self.assertEqual(self.memory.reserve(without.spec, 2), 2)
        self.successResultOf(self.on.claim(without))
        self.assertEqual(self.memory.reserve(self.known("f", 50).spec, 1), 0)

    def test_of_versions_that_were_never_measured_one_loads_at_a_time_whatever_it_tells(self) -> None:
        for gpu in self.gpus:
            self.memory.limits[gpu] = 10 * GUESS
        first, second = self.on.add("a"), self.on.add("b")
        self.successResultOf(self.on.claim(first))
        waiting = self.on.claim(second)
        self.assertNoResult(waiting)
        self.on.load(first)
        self.successResultOf(waiting)
        self.assertFalse(self.memory.figures(first.spec)[0].is_seen, "it has told nothing of a GPU")


class SpanningTests(GpuBudgetCase):
    """Workers that have two GPUs each."""

    gpus = dict.fromkeys(range(4), 1000)

    def test_a_part_is_set_aside_on_each(self) -> None:
        for gpu in self.gpus:
            self.memory.limits[gpu] = 10 * GUESS
        version = self.on.add("a", parallel_type="tp", parallel_level=2)
        self.assertEqual(self.memory.figures(version.spec)[0].expected, 50 + OVERHEAD)
        self.successResultOf(self.on.claim(version))
        self.on.stage.backend.last.gpu_memory = GpuMemory(100, 801, 200)
        self.on.load(version)
        self.assertEqual(
            [each.reserved for each in self.memory.figures(version.spec).values()], [401, 401, 0, 0]
        )

    def test_the_least_of_a_group_counts(self) -> None:
        self.loaded("a", 100, device_ids=[0])
        self.loaded("b", 300, device_ids=[3])
        version = self.known("c", 800, parallel_type="tp", parallel_level=2)
        self.assertEqual(self.memory.reserve(version.spec, 5), 1)
        self.successResultOf(self.on.claim(version))
        self.assertEqual((self.places(version), self.free), ([(0, 1)], [100, 200, 1000, 700]))


class PartTests(GpuBudgetCase):
    """MIG instances of different sizes."""

    gpus = {0: 500, 1: 1000}
    parts = frozenset({0, 1})

    def test_each_instance_has_a_limit_of_its_own(self) -> None:
        version = self.loaded("a", 300, workers=4)
        self.assertEqual(self.places(version), [(1,), (1,), (0,), (1,)])
        self.assertEqual([worker.spec.gpu_id for worker in version.pool.workers], [0, 0, 0, 0])
        self.assertEqual(self.memory.reserve(version.spec, 1), 0)
        self.assertTrue(all(worker.state is WorkerState.READY for worker in version.pool.workers))


class BothTests(SynchronousTestCase):
    """A limit for the machine and one for its GPU."""

    def setUp(self) -> None:
        self.on = BudgetStage(1000, gpus={0: 1000})

    def add(self, name: str, host: int, gpu: int) -> ModelVersion:
        version = self.on.add(name)
        self.on.takes[name] = host
        self.on.memory.measured(version.spec, host, 0, gpu=gpu)
        return version

    def load(self, name: str, host: int, gpu: int) -> ModelVersion:
        version = self.add(name, host, gpu)
        self.successResultOf(self.on.claim(version))
        self.on.load(version)
        return version

    def test_both_have_to_have_room(self) -> None:
        self.load("a", 100, 800).pool.put(make_job(b"x"))
        for name, host, gpu, place in (("b", 950, 10, "model_memory_limit"), ("c", 10, 300, "on GPU 0")):
            refused = self.on.claim(self.add(name, host, gpu))
            error: MemoryShort = self.failureResultOf(refused, MemoryShort).value
            self.assertTrue(error.place.endswith(place), error.place)
        self.successResultOf(self.on.claim(self.add("d", 900, 200)))

    def test_machine_memory_that_cannot_be_read_leaves_the_limit_of_gpus(self) -> None:
        a = self.load("a", 100, 800)
        a.pool.put(make_job(b"x"))
        self.on.stage.turn()
        self.on.unreadable = "Permission denied"
        self.on.watch.measure_soon()
        self.assertEqual(list(self.on.memory.figures(a.spec)), [0])
        self.successResultOf(self.on.claim(self.add("b", 5000, 200)))
        self.failureResultOf(self.on.claim(self.add("c", 10, 10)), MemoryShort)
