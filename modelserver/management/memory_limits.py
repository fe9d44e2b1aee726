"""Ends workers that exceed their memory limit; samples them periodically, in a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.interfaces import InThread
from modelserver.language.attributes import define

INTERVAL = 1.0
"""Seconds between two samples."""

_log = Logger()


@define(eq=False)
class MemoryLimits:
    """
    Kills workers over ``worker_memory_limit`` (resident bytes); their jobs go to other workers.

    :param memories: resident bytes of process trees by their roots; blocks.
    """

    registry: Registry
    memories: Callable[[Iterable[int]], Mapping[int, int]]
    in_thread: InThread
    clock: IReactorTime
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self.clock

    def start(self) -> None:
        """Start sampling; nothing is sampled while no version has a limit."""
        self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Stop sampling."""
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.look())

    async def look(self) -> None:
        """Sample once, and kill the workers that are over the limit."""
        limited = [version for version in self.registry.all() if version.spec.limits.memory]
        pids = [pid for version in limited for pid in _pids(version)]
        if not pids:
            return
        try:
            memories = await self.in_thread(self.memories, pids)
        except Exception:  # Whatever it was, the next sample may succeed.
            _log.failure("The memory of workers could not be sampled")
            return
        for version in limited:
            for pid in _pids(version):
                if memories.get(pid, 0) > version.spec.limits.memory:
                    version.pool.end_worker(pid, "memory")


def _pids(version: ModelVersion) -> list[int]:
    return [worker.pid for worker in version.pool.describe() if worker.pid is not None]
