"""Processes that workers have left behind: reaped when they end, ended when their worker has."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import AnyStr, Protocol, cast

from attrs import field
from twisted.internet.interfaces import IProcessProtocol, IProcessTransport, IReactorProcess, IReactorTime
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from modelserver.language.attributes import define
from modelserver.system.orphans import children, variable_of
from modelserver.system.process_stat import start_of

OWNER = "MODELSERVER_WORKER"
"""The variable that tells which worker a process comes from; it is inherited."""
INTERVAL = 0.5
"""Seconds between two looks: the kernel has no descriptor that tells of orphans, and uvloop takes SIGCHLD."""


class _Spawned(Protocol):
    """What is used of Twisted's process transport: it has no process id once it is reaped."""

    pid: int | None


@implementer(IReactorProcess)
@define(eq=False)
class RecordingSpawner:
    """Spawns by way of the reactor, and knows the processes that it has spawned and not reaped yet."""

    reactor: IReactorProcess
    _spawned: list[_Spawned] = field(factory=list, init=False)

    def spawnProcess(
        self,
        processProtocol: IProcessProtocol,
        executable: bytes | str,
        args: Sequence[bytes | str],
        env: Mapping[AnyStr, AnyStr] | None = None,
        path: bytes | str | None = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: bool = False,
        childFDs: Mapping[int, int | str] | None = None,
    ) -> IProcessTransport:
        """Spawn as the reactor does."""
        transport = self.reactor.spawnProcess(
            processProtocol,
            executable,
            args,
            env=env,
            path=path,
            uid=uid,
            gid=gid,
            usePTY=usePTY,
            childFDs=childFDs,
        )
        self._spawned.append(cast(_Spawned, transport))
        return transport

    def pids(self) -> set[int]:
        """Name the processes that Twisted reaps."""
        self._spawned = [spawned for spawned in self._spawned if spawned.pid is not None]
        return {spawned.pid for spawned in self._spawned if spawned.pid is not None}


@define(eq=False)
class OrphanCollector:
    """
    Looks after the processes that this one has inherited from workers and their descendants.

    Those that have ended are reaped. Those of a worker that has ended are killed; they are known by the
    variable that their program was started with, and by having been started before the worker's successor.
    What cannot be assigned to a worker (it was forked by a forked worker, and has started no program of its
    own) is killed at the end of the server.

    :param own: tells the processes that somebody else reaps.
    """

    own: Callable[[], set[int]]
    clock: IReactorTime
    _workers: dict[int, str] = field(factory=dict, init=False)
    _looking: LoopingCall | None = field(default=None, init=False)

    def worker_began(self, pid: int, worker: str) -> None:
        """A worker has this process from now on."""
        self._workers[pid] = worker

    def worker_ended(self, pid: int) -> None:
        """The process of a worker is gone."""
        self._workers.pop(pid, None)

    def start(self) -> None:
        """Look from now on."""
        self._looking = LoopingCall(self.look)
        self._looking.clock = self.clock  # LoopingCall takes a clock only so
        self._looking.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Look no more, and end everything that is left: the server ends."""
        if self._looking is not None and self._looking.running:
            self._looking.stop()
        for pid in self._orphans():
            _kill(pid)
            _reap(pid)

    def look(self) -> None:
        """Reap the orphans that have ended, and kill those whose worker has."""
        for pid in self._orphans():
            started = start_of(pid)
            if started is None:
                _reap(pid)
            elif self._has_lost_its_worker(pid, started):
                _kill(pid)

    def _orphans(self) -> list[int]:
        inherited = children()
        own = self.own() if inherited else set()
        return [pid for pid in inherited if pid not in own and pid not in self._workers]

    def _has_lost_its_worker(self, pid: int, started: int) -> bool:
        worker = variable_of(pid, OWNER)
        if worker is None:
            return False
        begun = [start_of(process) for process, name in self._workers.items() if name == worker]
        return not any(at is not None and at <= started for at in begun)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass  # somebody else has
