"""Versions over workers in memory that share a budget; what they take, the test says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.core.workers.placement import groups_for
from modelserver.devices import HOST, Bank
from modelserver.management.memory.accounts import OVERHEAD
from modelserver.management.memory.budget import WorkerMemory
from modelserver.management.memory.watch import MemoryWatch
from modelserver.spec import WorkerState
from modelserver.testing.providers import Stage, make_job, make_spec
from tests.harness.threads import at_once

GUESS = 100 + OVERHEAD
"""What a version with an archive of 100 bytes is expected to take."""


@define(eq=False)
class BudgetStage:
    """
    A budget, and versions that are loaded when a claim is granted.

    :param limit: bytes of the machine's memory; 0: any.
    :param takes: bytes of each worker of a model.
    :param gpus: the limit of each GPU.
    :param parts: those that are MIG instances.
    """

    limit: int
    takes: dict[str, int] = field(factory=dict)
    gpus: dict[int, int] = field(factory=dict)
    parts: frozenset[int] = frozenset()
    registry: Registry = field(factory=Registry, init=False)
    stage: Stage = field(init=False)
    memory: WorkerMemory = field(init=False)
    watch: MemoryWatch = field(init=False)
    unreadable: str = field(default="", init=False)
    driver: dict[int, int] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        limits: dict[Bank, int] = dict(self.gpus.items())
        if self.limit:
            limits[HOST] = self.limit
        self.memory = WorkerMemory(
            limits,
            self.registry.all,
            self.seconds,
            self.evict,
            groups=lambda spec: groups_for(spec, self.stage.devices),
        )
        self.stage = Stage(len(self.gpus), memory=self.memory)
        self.stage.devices.parts = self.parts
        self.watch = MemoryWatch(
            self.memory, self.registry.all, self.shares, at_once, self.stage.clock, lambda: self.driver
        )

    def seconds(self) -> float:
        """The clock."""
        return self.stage.clock.seconds()

    def evict(self, version: ModelVersion) -> None:
        """End the workers."""
        version.pool.close(0.0)

    def shares(self, pids: Iterable[int]) -> Mapping[int, int]:
        """What each process takes."""
        if self.unreadable:
            raise OSError(self.unreadable)
        names = {worker.pid: worker.spec.version.name for worker in self.stage.backend.workers}
        return {pid: self.takes.get(names[pid], 0) for pid in pids}

    def add(self, name: str, **more: Any) -> ModelVersion:
        """Serve a version without workers."""
        version = self.stage.version(make_spec(name, archive_size=100, **more))
        self.registry.add(version)
        return version

    def claim(self, version: ModelVersion, workers: int = 1, waits: bool = False) -> Deferred[None]:
        """Start so many workers more when there is room."""
        claim = self.memory.claim(version.spec, workers, waits)
        claim.addCallback(lambda _: version.pool.scale(len(version.pool.workers) + workers, 100))
        return claim

    def load(self, *versions: ModelVersion) -> None:
        """Let all workers of versions load that are starting."""
        for version in versions:
            for worker in list(version.pool.workers):
                if worker.state is WorkerState.STARTING:
                    process = next(each for each in self.stage.backend.workers if each.events is worker)
                    process.load()
        self.stage.turn()

    def loaded(self, name: str, **more: Any) -> ModelVersion:
        """Serve a version with a worker."""
        version = self.add(name, **more)
        self.claim(version)
        self.load(version)
        return version

    def use(self, version: ModelVersion) -> None:
        """Have a request answered, a second after what was before."""
        self.stage.clock.advance(1)
        version.pool.put(make_job(b"x", self.seconds()))
        self.stage.turn()
        next(worker for worker in self.stage.backend.workers if worker.batches).answer()
        self.stage.turn()
        self.memory.look()

    def names(self) -> str:
        """The names of those that have workers."""
        return "".join(sorted(version.spec.name for version in self.registry.all() if version.pool.workers))
