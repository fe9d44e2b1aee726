"""Samples, at intervals and in a thread, the load of the host and its GPUs and the memory of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from modelserver.devices import GpuUsage
from modelserver.interfaces import InThread, Inventory
from modelserver.language.attributes import define, frozen
from modelserver.metrics.process_memory import tree_memories

_MEGABYTE = 1024**2
_GIGABYTE = 1024**3

_log = Logger()


@frozen
class HostValue:
    """
    One value of a sample.

    :param name: the metric's name.
    :param device: the GPU that it belongs to, or None.
    """

    name: str
    value: float
    device: int | None = None


@frozen
class Sample:
    """
    The load of the machine at one moment.

    :param memory: resident bytes of process trees, by the process id of their root.
    :param gpu_memory: bytes of GPUs by process id, as far as the driver tells processes apart.
    """

    values: tuple[HostValue, ...] = ()
    memory: Mapping[int, int] = field(factory=dict)
    gpu_memory: Mapping[int, int] = field(factory=dict)


def host_values(root: str = "/") -> tuple[HostValue, ...]:
    """
    Return the load of processor, memory and disk; the processor's is an average since the call before.

    :param root: a path on the disk to look at.
    """
    import psutil  # in the thread, not at the start, which would wait for it

    memory = psutil.virtual_memory()
    disk = psutil.disk_usage(root)
    return (
        HostValue("CPUUtilization", psutil.cpu_percent(interval=None)),
        HostValue("DiskAvailable", disk.free / _GIGABYTE),
        HostValue("DiskUsage", disk.used / _GIGABYTE),
        HostValue("DiskUtilization", disk.percent),
        HostValue("MemoryAvailable", memory.available / _MEGABYTE),
        HostValue("MemoryUsed", memory.used / _MEGABYTE),
        HostValue("MemoryUtilization", memory.percent),
    )


def gpu_loads(inventory: Inventory) -> Mapping[int, GpuUsage]:
    """Return the load of each GPU whose driver reports one. Blocks."""
    return {gpu.id: load for gpu in inventory.gpus() if (load := inventory.usage(gpu.id)) is not None}


def gpu_values(loads: Mapping[int, GpuUsage]) -> tuple[HostValue, ...]:
    """Return the values of GPUs."""
    values: list[HostValue] = []
    for gpu, load in loads.items():
        values += (
            HostValue("GPUMemoryUtilization", load.memory_utilization, gpu),
            HostValue("GPUMemoryUsed", load.memory_used / _MEGABYTE, gpu),
            HostValue("GPUUtilization", load.utilization, gpu),
        )
    return tuple(values)


def bytes_by_process(loads: Iterable[GpuUsage]) -> Mapping[int, int]:
    """Return what each process has of all GPUs together."""
    found: Counter[int] = Counter()
    for load in loads:
        found.update(load.processes)
    return dict(found)


class HostSampleObserver(Protocol):
    """Takes what a sample holds."""

    def host_sampled(self, values: Iterable[HostValue]) -> None:
        """Take the values of processor, memory, disk and GPUs."""

    def memory_sampled(self, sample: Sample) -> None:
        """Take the memory of workers' process trees, and what processes have of GPUs'."""


@frozen
class Probe:
    """
    Takes samples; its call blocks, so it belongs into a thread.

    :param gpus: what knows the GPUs, or None to leave GPUs out.
    :param measures_host: false: only the workers' memory is looked at (``disable_system_metrics``).
    """

    gpus: Inventory | None = None
    measures_host: bool = True

    def sample(self, pids: Sequence[int]) -> Sample:
        """Return the load of the machine now, and the memory of the process trees of ``pids``. Blocks."""
        values: tuple[HostValue, ...] = ()
        loads: Mapping[int, GpuUsage] = {}
        if self.measures_host:
            loads = {} if self.gpus is None else gpu_loads(self.gpus)
            values = host_values() + gpu_values(loads)
        return Sample(values, tree_memories(pids) if pids else {}, bytes_by_process(loads.values()))


@define(eq=False)
class HostSampler:
    """
    Takes a sample at once and then every ``interval`` seconds, never two at a time.

    :param take: takes the sample; ``Probe.sample``, or what stands for it in a test.
    :param in_thread: runs something in a thread (``deferToThread``).
    :param pids: the workers' process ids of this moment.
    """

    take: Callable[[Sequence[int]], Sample]
    interval: float
    clock: IReactorTime
    in_thread: InThread
    pids: Callable[[], Sequence[int]]
    observer: HostSampleObserver
    _memory: Mapping[int, int] = field(factory=dict, init=False)
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._sample)
        # Assigned since Twisted's constructor does not take a clock.
        self._loop.clock = self.clock

    def start(self) -> None:
        """Take a sample now, and then at every interval."""
        self._loop.start(self.interval).addErrback(
            lambda failure: _log.failure("The host is not sampled any more", failure)
        )

    def stop(self) -> None:
        """Take no more samples; the observer still gets one that a thread is taking."""
        if self._loop.running:
            self._loop.stop()

    def memory(self, pid: int) -> int:
        """Return the resident bytes of a worker's process tree at the last sample, 0 if it was not in it."""
        return self._memory.get(pid, 0)

    async def _sample_once(self) -> None:
        try:
            sample = await self.in_thread(self.take, tuple(self.pids()))
        except Exception:  # Whatever it was, the next sample may succeed.
            _log.failure("The host could not be sampled")
            return
        self._memory = sample.memory
        self.observer.memory_sampled(sample)
        self.observer.host_sampled(sample.values)

    def _sample(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._sample_once())
