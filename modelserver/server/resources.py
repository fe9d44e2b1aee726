"""What a server takes from the system, and what its builders use of the reactor and the machine."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from typing import cast

from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.posixbase import PosixReactorBase

from modelserver.backends.commands import Commands
from modelserver.backends.event_loop import ReactorLoop
from modelserver.backends.orphans import OrphanCollector, RecordingSpawner
from modelserver.config.settings import Settings
from modelserver.devices import Gpu
from modelserver.interfaces import CommandRunner, EventLoop, Inventory
from modelserver.language.attributes import define, frozen
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.server.threads import Threads
from modelserver.system.gpus import NvidiaInventory, load_library
from modelserver.system.run_folders import RunFolders


@define(eq=False)
class Resources:
    """
    What a server takes from the system and must give back.

    :param folders: where archives are unpacked, and a folder of the server's own.
    :param lifeline: a pipe; workers end when its write end closes.
    :param slots: memory that is shared with workers, or None.
    """

    folders: RunFolders
    lifeline: tuple[int, int]
    slots: SharedMemoryPool | None

    @classmethod
    def take(cls, settings: Settings) -> Resources:
        """
        Make folders of the server's own, a pipe whose write end no other process has, and shared memory.

        :raises OSError: the system refuses one of them.
        """
        folders = RunFolders.take(settings.temporary_folder)
        try:
            return cls(folders, os.pipe(), SharedMemoryPool.open(settings.max_request_size))
        except BaseException:
            folders.give_back()
            raise

    def give_back(self) -> None:
        """Close the pipe and the memory, and remove the folders: for which descriptors are needed."""
        if self.slots is not None:
            self.slots.close()
        for end in self.lifeline:
            os.close(end)
        self.folders.give_back()


@frozen(eq=False, kw_only=True)
class Runtime:
    """
    The reactor, its threads, and the machine's devices, as the builders hand them to what they build.

    :param loop: asyncio's event loop under the reactor, or None where the reactor has no such loop.
    :param spawner: starts programs and workers.
    :param orphans: looks after what workers leave behind.
    :param events: watches workers' sockets: that loop itself, else an adapter of the reactor.
    :param environment: the environment variables that workers inherit.
    :param program_environment: the same without those that ``blacklist_env_vars`` hides, for programs that
        the server itself runs.
    :param gpus: those that are visible.
    :param gpu_count: GPUs that workers may use: those that exist, or fewer where ``number_of_gpu`` says so.
    """

    reactor: PosixReactorBase
    loop: asyncio.AbstractEventLoop | None
    events: EventLoop
    threads: Threads
    commands: CommandRunner
    spawner: RecordingSpawner
    orphans: OrphanCollector
    environment: Mapping[str, str]
    program_environment: Mapping[str, str]
    inventory: Inventory
    gpus: Sequence[Gpu]
    gpu_count: int

    @classmethod
    def of(cls, settings: Settings, reactor: PosixReactorBase, environment: Mapping[str, str]) -> Runtime:
        """Look at the reactor and the machine; nothing is started but the GPU vendor's library."""
        loop: asyncio.AbstractEventLoop | None = getattr(reactor, "_asyncioEventloop", None)
        events: EventLoop = loop or ReactorLoop(cast(IReactorFDSet, reactor), reactor)
        inventory = NvidiaInventory(load_library(), environment)
        gpus = tuple(inventory.gpus())
        limit = settings.number_of_gpu
        spawner = RecordingSpawner(reactor)
        return cls(
            reactor=reactor,
            loop=loop,
            events=events,
            threads=Threads.of(reactor),
            commands=Commands(spawner, events, reactor),
            spawner=spawner,
            orphans=OrphanCollector(spawner.pids, reactor),
            environment=environment,
            program_environment=_without_hidden(settings, environment),
            inventory=inventory,
            gpus=gpus,
            gpu_count=len(gpus) if limit is None else min(limit, len(gpus)),
        )


def _without_hidden(settings: Settings, environment: Mapping[str, str]) -> Mapping[str, str]:
    hidden = re.compile(settings.blacklist_env_vars or "(?!)")
    return {name: value for name, value in environment.items() if not hidden.fullmatch(name)}
