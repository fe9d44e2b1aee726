"""Programs that run to their end, such as pip: their output is reported by lines, their time is limited."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from modelserver.backends.local import Spawned
from modelserver.backends.output import LineLog
from modelserver.interfaces import Command, EventLoop, Finished


@define(eq=False)
class Commands:
    """Runs programs with the machine's spawner."""

    spawner: IReactorProcess
    loop: EventLoop
    clock: IReactorTime

    def run(self, command: Command, report: Callable[[str], None]) -> Deferred[Finished]:
        """
        Run a program; fires when it has ended and everything that it wrote is read.

        Cancelling, or the end of its time, kills it with everything that it has started.

        :param report: is told each line of its output.
        """
        running = _Running(self.loop, report)
        program = command.arguments[0]
        transport = self.spawner.spawnProcess(
            running,
            program,
            list(command.arguments),
            env=dict(command.environment),
            childFDs={0: 0, 1: "r", 2: "r"},
        )
        running.watch(cast(Spawned, transport))
        running.timer = self.clock.callLater(command.timeout, running.stop_late)
        return running.finished


@define(eq=False)
class _Running(ProcessProtocol):
    """Twisted's view of one program."""

    loop: EventLoop
    report: Callable[[str], None]
    timer: IDelayedCall | None = field(default=None, init=False)
    finished: Deferred[Finished] = field(init=False)
    _lines: LineLog = field(init=False)
    _pid: int | None = field(default=None, init=False)
    _watch: int | None = field(default=None, init=False)
    _is_late: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.finished = Deferred(lambda _: self._kill())
        self._lines = LineLog(self.report)

    def watch(self, spawned: Spawned) -> None:
        """Be told of the end by the kernel where that is possible: uvloop takes SIGCHLD for itself."""
        self._pid = spawned.pid
        if hasattr(os, "pidfd_open") and spawned.pid is not None:
            self._watch = watch = os.pidfd_open(spawned.pid)
            self.loop.add_reader(watch, lambda: self._has_ended(spawned))

    def _has_ended(self, spawned: Spawned) -> None:
        self._stop_watching()
        if spawned.pid is not None:
            spawned.reapProcess()

    def _stop_watching(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            self.loop.remove_reader(watch)
            os.close(watch)

    def stop_late(self) -> None:
        """Its time is over."""
        self._is_late = True
        self._kill()

    def _kill(self) -> None:
        if self._pid is not None:
            for kill in (os.killpg, os.kill):
                try:
                    kill(self._pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
                return

    def outReceived(self, data: bytes) -> None:
        self._lines.data_received(data)

    def errReceived(self, data: bytes) -> None:
        self._lines.data_received(data)

    def processExited(self, reason: Failure) -> None:
        self._stop_watching()
        self._pid = None

    def processEnded(self, reason: Failure) -> None:
        self._lines.ended()
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        if not self.finished.called:
            code = getattr(reason.value, "exitCode", None)
            self.finished.callback(Finished(code, tuple(self._lines.last), self._is_late))
