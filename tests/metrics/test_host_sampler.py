"""Samples of the host: what they hold, and when they are taken."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from modelserver.devices import GpuUsage
from modelserver.metrics.host_sampler import (
    HostSampler,
    HostValue,
    Probe,
    Sample,
    bytes_by_process,
    gpu_loads,
    gpu_values,
    host_values,
)
from modelserver.testing.providers import FakeInventory

NO_PROCESS = 1 << 30


class ValuesTests(SynchronousTestCase):
    """A sample has the metrics that are declared for it."""

    def test_host(self) -> None:
        values = {each.name: each.value for each in host_values()}
        self.assertEqual(
            sorted(values),
            [
                "CPUUtilization",
                "DiskAvailable",
                "DiskUsage",
                "DiskUtilization",
                "MemoryAvailable",
                "MemoryUsed",
                "MemoryUtilization",
            ],
        )
        self.assertGreater(values["MemoryAvailable"], 0)
        for name in ("CPUUtilization", "DiskUtilization", "MemoryUtilization"):
            self.assertTrue(0 <= values[name] <= 100, name)

    def test_gpus(self) -> None:
        self.assertEqual(
            gpu_values(gpu_loads(FakeInventory(2)))[3:],
            (
                HostValue("GPUMemoryUtilization", 20.0, 1),
                HostValue("GPUMemoryUsed", 1024.0, 1),
                HostValue("GPUUtilization", 10.0, 1),
            ),
        )

    def test_gpu_that_does_not_tell_its_load(self) -> None:
        class Silent(FakeInventory):
            def usage(self, gpu_id: int) -> None:
                return None

        self.assertEqual(gpu_values(gpu_loads(Silent(2))), ())

    def test_probe(self) -> None:
        sample = Probe(FakeInventory(1)).sample([os.getpid()])
        self.assertEqual(len(sample.values), 10)
        self.assertGreater(sample.memory[os.getpid()], 0)

    def test_probe_without_system_metrics(self) -> None:
        self.assertEqual(Probe(FakeInventory(1), measures_host=False).sample([]), Sample())


@define
class Told:
    """What a sampler tells."""

    values: list[Sequence[HostValue]] = field(factory=list)
    memory: list[Mapping[int, int]] = field(factory=list)

    def host_sampled(self, values: Iterable[HostValue]) -> None:
        """Keep it."""
        self.values.append(tuple(values))

    def memory_sampled(self, sample: Sample) -> None:
        """Keep it."""
        self.memory.append(sample.memory)


class ProcessesTests(SynchronousTestCase):
    """Bytes of GPUs by process."""

    def test_process_on_two_devices_has_the_bytes_of_both(self) -> None:
        loads = [GpuUsage(0.0, 0.0, 9, 99, {41: 5, 42: 3}), GpuUsage(0.0, 0.0, 9, 99, {41: 7})]
        self.assertEqual(bytes_by_process(loads), {41: 12, 42: 3})


class HostSamplerTests(SynchronousTestCase):
    """A sample at once, then one for each interval, and never two at a time."""

    def setUp(self) -> None:
        self.clock, self.told = Clock(), Told()
        self.asked: list[Sequence[int]] = []
        self.results: list[Deferred[Sample]] = []

    def sampler(self, in_thread: Any) -> HostSampler:
        sampler = HostSampler(self.sample, 2.0, self.clock, in_thread, lambda: [41], self.told)
        sampler.start()
        self.addCleanup(sampler.stop)
        return sampler

    def sample(self, pids: Sequence[int]) -> Sample:
        self.asked.append(pids)
        return Sample((HostValue("CPUUtilization", 5.0),), {41: 77})

    def at_once(self, call: Callable[..., Sample], pids: Sequence[int]) -> Deferred[Sample]:
        return succeed(call(pids))

    def later(self, call: Callable[..., Sample], pids: Sequence[int]) -> Deferred[Sample]:
        self.results.append(Deferred())
        return self.results[-1]

    def test_samples_are_told(self) -> None:
        sampler = self.sampler(self.at_once)
        self.assertEqual(self.told, Told([(HostValue("CPUUtilization", 5.0),)], [{41: 77}]))
        self.assertEqual((sampler.memory(41), sampler.memory(42)), (77, 0))
        self.assertEqual(self.asked, [(41,)])
        self.clock.advance(2)
        self.assertEqual(len(self.asked), 2)

    def test_one_at_a_time(self) -> None:
        self.sampler(self.later)
        self.clock.advance(7)
        self.assertEqual(len(self.results), 1)
        self.results[0].callback(Sample())
        self.clock.advance(1)
        self.assertEqual(len(self.results), 2)

    def test_failure_is_logged_and_the_next_sample_is_taken(self) -> None:
        self.sampler(self.later)
        with capturedLogs() as events:
            self.results[0].errback(OSError("no /proc"))
        self.assertEqual(len(events), 1)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        self.clock.advance(2)
        self.assertEqual(len(self.results), 2)

    def test_stop(self) -> None:
        sampler = self.sampler(self.at_once)
        sampler.stop()
        sampler.stop()
        self.clock.advance(10)
        self.assertEqual(len(self.asked), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
