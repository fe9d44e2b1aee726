"""Workers over their limit are ended; the others notice nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import Registry
from modelserver.management.memory_limits import MemoryLimits
from modelserver.testing.providers import CollectingObserver, Stage, make_job, make_spec
from tests.harness.threads import at_once


class MemoryLimitTests(SynchronousTestCase):
    """Two workers that may have 100 bytes each."""

    def setUp(self) -> None:
        self.stage = Stage()
        self.registry = Registry()
        self.version = self.stage.version(make_spec(worker_memory_limit=100))
        self.registry.add(self.version)
        self.version.pool.scale(2, 2)
        for process in self.stage.backend.workers:
            process.load()
        self.stage.turn()
        self.memory: dict[int, int] = {}
        self.sampled: list[list[int]] = []
        self.limits = MemoryLimits(
            self.registry,
            self.sample,
            at_once,
            self.stage.clock,
        )

    def sample(self, pids: Iterable[int]) -> Mapping[int, int]:
        self.sampled.append(list(pids))
        return self.memory

    def test_the_one_over_the_limit_is_ended_and_its_job_goes_on(self) -> None:
        observer = CollectingObserver()
        self.version.pool.put(make_job(b"a", 0.0, observer))
        self.stage.turn()
        has_it = next(process for process in self.stage.backend.workers if process.batches)
        other = next(process for process in self.stage.backend.workers if process is not has_it)
        self.memory = {has_it.pid or 0: 101, other.pid or 0: 100}
        self.successResultOf(Deferred.fromCoroutine(self.limits.look()))
        self.assertTrue(has_it.is_gone)
        self.assertFalse(other.is_gone)
        self.stage.turn()
        other.answer()
        self.assertEqual(observer.bodies, [b"a"])
        failures = [worker.failure for worker in self.version.pool.workers if worker.failure]
        self.assertEqual([failure.cause for failure in failures], ["memory"])

    def test_it_looks_every_second(self) -> None:
        self.limits.start()
        self.addCleanup(self.limits.stop)
        self.stage.clock.pump([1, 1])
        self.assertEqual(len(self.sampled), 2)

    def test_a_sample_that_fails_is_not_the_last(self) -> None:
        self.limits.memories = self.fail_once
        self.limits.start()
        self.addCleanup(self.limits.stop)
        self.stage.clock.pump([1, 1])
        self.assertEqual(len(self.sampled), 1)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def fail_once(self, pids: Iterable[int]) -> Mapping[int, int]:
        self.limits.memories = self.sample
        raise OSError("no /proc")

    def test_without_limits_nothing_is_sampled(self) -> None:
        registry = Registry()
        registry.add(self.stage.version(make_spec("other")))
        limits = MemoryLimits(
            registry,
            self.sample,
            at_once,
            self.stage.clock,
        )
        self.successResultOf(Deferred.fromCoroutine(limits.look()))
        self.assertEqual(self.sampled, [])
