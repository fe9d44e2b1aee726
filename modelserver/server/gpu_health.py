"""Asks the driver how the GPUs are, and has workers leave those that are set aside."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from modelserver.core.gpus import Devices
from modelserver.core.providers import CoreProviders
from modelserver.core.quarantine import Quarantine
from modelserver.core.registry import Registry
from modelserver.core.workers.device_moves import leave_device
from modelserver.interfaces import InThread, Inventory
from modelserver.language.attributes import define
from modelserver.server.resources import Runtime

_log = Logger()

INTERVAL = 5.0
"""Seconds between two looks."""


def make_devices(runtime: Runtime) -> Devices:
    """Return what hands out the GPUs that workers may use; none is set aside yet."""
    parts = frozenset(gpu.id for gpu in runtime.gpus if gpu.is_part)
    return Devices(runtime.gpu_count, Quarantine(runtime.reactor.seconds), parts)


@define(eq=False)
class GpuHealth:
    """
    Tells the quarantine of devices what the driver says of them, and is told by it which are set aside.

    :param inventory: asked in a thread: the driver may take its time with a GPU that is ill.
    """

    clock: IReactorTime
    in_thread: InThread
    inventory: Inventory
    registry: Registry
    providers: CoreProviders
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self.clock
        self.providers.devices.quarantine.told = self._set_aside

    def start(self) -> None:
        """Begin to look, if there is something to look at."""
        if self.providers.devices.count:
            self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    async def look(self) -> None:
        """Ask the driver once."""
        found: Mapping[int, str | None] = await self.in_thread(self._ask)
        for gpu, illness in found.items():
            self.providers.devices.quarantine.examined(gpu, illness)

    def _look(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.look())

    def _ask(self) -> Mapping[int, str | None]:
        return {gpu: self.inventory.illness(gpu) for gpu in range(self.providers.devices.count)}

    def _set_aside(self, gpu: int, reason: str) -> None:
        _log.warn("GPU {gpu} is set aside: {reason}. Its workers go to others.", gpu=gpu, reason=reason)
        for version in self.registry.all():
            leave_device(version.pool.workers, gpu, self.providers)
