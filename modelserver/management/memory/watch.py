"""Measures workers for the memory budget: when one has loaded, and from time to time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from modelserver.core.version import ModelVersion
from modelserver.core.workers.placement import gpus_of
from modelserver.devices import HOST, GpuMemory
from modelserver.interfaces import InThread
from modelserver.language.attributes import define
from modelserver.management.memory.budget import WorkerMemory
from modelserver.spec import WorkerState

LOOK = 0.25
"""Seconds between two looks at who was used: the moments of use are known as exactly as that."""
MEASURE = 1.0
"""Seconds between two measurements at least."""
SHARE = 50
"""How much longer than a measurement the time to the next one is: the kernel walks through all pages."""
SOON = 0.02
"""Seconds between two looks while somebody waits for a version to be idle: none tells that it is."""

_log = Logger()


@define(eq=False)
class MemoryWatch:
    """
    Tells the budget what workers take, and lets it look around; nothing runs where there is no budget.

    :param shares: the bytes of process trees by their roots, such that they may be added; blocks.
    :param on_gpus: the bytes of GPUs by process, as the driver tells; blocks.
    """

    memory: WorkerMemory
    versions: Callable[[], Sequence[ModelVersion]]
    shares: Callable[[Iterable[int]], Mapping[int, int]]
    in_thread: InThread
    clock: IReactorTime
    on_gpus: Callable[[], Mapping[int, int]] = dict
    _loop: LoopingCall = field(init=False)
    _next: float = field(default=0.0, init=False)
    _is_measuring: bool = field(default=False, init=False)
    _is_due: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self.clock
        self.memory.changed = self.measure_soon

    def start(self) -> None:
        """Start looking."""
        self._loop.start(LOOK, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        self.memory.look()
        self._loop.interval = SOON if self.memory.is_awaited else LOOK
        if self.clock.seconds() >= self._next and not self._is_measuring:
            self.measure_soon()

    def measure_soon(self) -> None:
        """Measure now, or once more when the measurement that goes on is over."""
        if self._is_measuring:
            self._is_due = True
            return
        Deferred.fromCoroutine(self.measure())

    async def measure(self) -> None:
        """Measure all workers that have loaded, and all templates; without success there is no limit."""
        self._is_measuring = True
        begun = self.clock.seconds()
        try:
            await self._measure()
        except OSError as error:
            if HOST in self.memory.limits:
                _log.warn(
                    "model_memory_limit is off, the memory of workers cannot be read: {why}", why=str(error)
                )
            self.memory.turn_off()
        except Exception:  # whatever it was, the next one may succeed
            _log.failure("The memory of workers could not be measured")
        finally:
            self._is_measuring = False
            ended = self.clock.seconds()
            self._next = ended + max(MEASURE, SHARE * (ended - begun))
        if self._is_due:
            self._is_due = False
            self.measure_soon()

    async def _measure(self) -> None:
        places = [(version, _pids(version), _template(version)) for version in self.versions()]
        pids = [pid for _, workers, template in places for pid in (*workers, *template)]
        is_bounded = HOST in self.memory.limits
        shares = await self.in_thread(self.shares, pids) if pids and is_bounded else {}
        driver = await self.in_thread(self.on_gpus) if pids and self.memory.room.gpus else {}
        for version, workers, template in places:
            stays = _template(version) == template  # it may have left, or come anew, meanwhile
            self.memory.measured(
                version.spec,
                worker=max((shares.get(pid, 0) for pid in workers), default=0),
                template=sum(shares.get(pid, 0) for pid in template) if stays else 0,
                gpu=_on_each_gpu(version, driver) if self.memory.room.gpus else 0,
                is_loaded=bool(workers),
            )
        self.memory.look()


def _on_each_gpu(version: ModelVersion, driver: Mapping[int, int]) -> int:
    """
    Return the most that a worker which has loaded has of each of its GPUs.

    The driver knows what the worker does not, and one of several processes alone: the larger number counts.
    """
    most = 0
    for worker in version.pool.workers:
        gpus, told = gpus_of(worker.spec), worker.describe()
        if gpus and told.state is WorkerState.READY:
            held = (told.gpu_memory or GpuMemory()).used or 0
            most = max(most, ceil(max(held, driver.get(told.pid or 0, 0)) / len(gpus)))
    return most


def _pids(version: ModelVersion) -> list[int]:
    workers = version.pool.describe()
    return [each.pid for each in workers if each.pid is not None and each.state is WorkerState.READY]


def _template(version: ModelVersion) -> list[int]:
    template = version.describe_template()
    return [] if template is None or template.pid is None else [template.pid]
