"""Programs that run to their end, such as pip: their output is reported by lines, their time is limited."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import cast

from attrs import field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from modelserver.backends.local import Spawned
from modelserver.backends.output import LineLog
from modelserver.interfaces import Command, EventLoop, Finished
from modelserver.language.attributes import define
from modelserver.system.exit_descriptor import exit_descriptor

_IN_SESSION = "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])"
"""Makes a program the first of a session of its own, so that what it starts can be ended with it."""


@define(eq=False)
class Commands:
    """Runs programs with the machine's spawner."""

    spawner: IReactorProcess
    loop: EventLoop
    clock: IReactorTime

    def run(
        self,
        command: Command,
        report: Callable[[str], None],
        complain: Callable[[str], None] | None = None,
    ) -> Deferred[Finished]:
        """
        Run a program; fires when it has ended and everything that it wrote is read.

        Cancelling, or the end of its time, kills it with everything that it has started.

        :param report: is told each line of its output.
        :param complain: is told the lines of its standard error, instead of ``report``.
        """
        output = LineLog(report)
        running = _Running(self.loop, output, output if complain is None else LineLog(complain))
        transport = self.spawner.spawnProcess(
            running,
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _IN_SESSION, *command.arguments],
            env=dict(command.environment),
            path=command.folder,
            childFDs={0: 0 if command.given is None else "w", 1: "r", 2: "r"},
        )
        running.watch(cast(Spawned, transport))
        if command.given is not None:
            transport.writeToChild(0, command.given)
            transport.closeChildFD(0)
        running.timer = self.clock.callLater(command.timeout, running.stop_late)
        return running.finished


@define(eq=False)
class _Running(ProcessProtocol):
    """Twisted's view of one program."""

    loop: EventLoop
    output: LineLog
    errors: LineLog
    timer: IDelayedCall | None = field(default=None, init=False)
    finished: Deferred[Finished] = field(init=False)
    _pid: int | None = field(default=None, init=False)
    _watch: int | None = field(default=None, init=False)
    _is_late: bool = field(default=False, init=False)
    _is_killed: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.finished = Deferred(lambda _: self._kill())

    def watch(self, spawned: Spawned) -> None:
        """
        Be told of the end by a descriptor: uvloop takes SIGCHLD for itself.

        :raises OSError: there are no descriptors left; the program is killed.
        """
        self._pid = spawned.pid
        if spawned.pid is not None:
            try:
                self._watch = watch = exit_descriptor(spawned.pid)
            except OSError:
                self._kill()
                raise
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
        self._is_killed = True
        if self._pid is None:
            self._let_go()
        else:
            for kill in (os.killpg, os.kill):
                try:
                    kill(self._pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    continue
                return

    def outReceived(self, data: bytes) -> None:
        self.output.data_received(data)

    def errReceived(self, data: bytes) -> None:
        self.errors.data_received(data)

    def processExited(self, reason: Failure) -> None:
        self._stop_watching()
        self._pid = None
        if self._is_killed:
            self._let_go()

    def _let_go(self) -> None:
        """Close the pipes: something that it has left behind may hold them open."""
        if self.transport is not None:
            self.transport.loseConnection()

    def processEnded(self, reason: Failure) -> None:
        self.output.ended()
        self.errors.ended()
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        if not self.finished.called:
            code = getattr(reason.value, "exitCode", None)
            self.finished.callback(Finished(code, tuple(self.errors.last), self._is_late))
