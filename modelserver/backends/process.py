"""The server's side of one process of a worker, however it was started: its link, its output, its end."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorProcess, IReactorTime

from modelserver.backends.failure_report import FailureReport
from modelserver.backends.frame_socket import FrameSocket
from modelserver.backends.orphans import OrphanCollector
from modelserver.backends.output import LineLog, OutputPipe, tell_line
from modelserver.backends.output_limits import OutputLimits
from modelserver.interfaces import EventLoop
from modelserver.language.attributes import define, frozen
from modelserver.protocol.frames import Frame
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.spec import WorkerFailure, WorkerPlace, WorkerSpec
from modelserver.system.exit_descriptor import exit_descriptor
from modelserver.system.threads import ProcessorShare

LAST_WAIT = 0.5
"""Seconds that a worker may live on after it closed its socket."""
OUTPUT_WAIT = 0.5
"""Seconds for which pipes are read after the worker's end, while something that it started holds them."""
OOM_EXIT = 137


@frozen
class HostServices:
    """
    What local workers need of the process around them.

    :param lifeline: the read end of a pipe whose write end the server holds until it ends.
    :param environment: what workers inherit.
    :param now: seconds since the epoch.
    :param take_oom_kills: called after a KILL that was not ours; returns whether the kernel has killed for
        want of memory since the last call.
    :param orphans: looks after what workers leave behind, or None.
    :param output: what each stream of a worker may log.
    :param share: the processors of a worker that is started now, or None to leave its threads alone.
    """

    spawner: IReactorProcess
    loop: EventLoop
    clock: IReactorTime
    lifeline: int
    environment: Mapping[str, str]
    now: Callable[[], float]
    slots: SharedMemoryPool | None = None
    take_oom_kills: Callable[[], bool] = lambda: False
    orphans: OrphanCollector | None = None
    output: OutputLimits = field(factory=OutputLimits)
    share: Callable[[], ProcessorShare | None] = lambda: None


@define(eq=False)
class HostProcess(ABC):
    """
    One process on this machine that speaks frames.

    Whoever starts it calls ``launched`` when there is a process, and ``ended`` when it is gone.

    ``cause`` is why the process was given up, or None; ``report`` what it has told of its failure;
    ``problem`` what else is known of its end; ``threads`` how many its environment gives to OpenMP.
    """

    spec: WorkerSpec
    machine: HostServices
    link: FrameSocket = field(init=False)
    stdout: LineLog = field(init=False)
    stderr: LineLog = field(init=False)
    threads: int | None = field(default=None, init=False)
    cause: str | None = field(default=None, init=False)
    report: FailureReport = field(factory=FailureReport, init=False)
    problem: str | None = field(default=None, init=False)
    _pipes: list[OutputPipe] = field(factory=list, init=False)
    _gone: bool = field(default=False, init=False)
    _pid: int | None = field(default=None, init=False)
    _watch: int | None = field(default=None, init=False)
    _last_wait: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        machine = self.machine
        self.stdout = LineLog(partial(tell_line, self.spec, "stdout"), machine.clock, machine.output)
        self.stderr = LineLog(partial(tell_line, self.spec, "stderr"), machine.clock, machine.output)

    def make_pipes(self) -> list[int]:
        """
        Return the ends of new pipes for standard output and error; the caller closes them.

        :raises OSError: there are no descriptors left.
        """
        self._close_pipes()
        writing: list[int] = []
        try:
            for log in (self.stdout, self.stderr):
                ours, theirs = os.pipe()
                writing.append(theirs)
                self._pipes.append(OutputPipe(self.machine.loop, ours, log))
                self._pipes[-1].open()
        except OSError:
            for each in writing:
                os.close(each)
            self._close_pipes()
            raise
        return writing

    def _close_pipes(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        self._pipes.clear()

    def _end_pipes(self) -> None:
        """Take what is in the pipes; what holds them beyond the worker's end has a moment."""
        for pipe in self._pipes:
            pipe.drain()
        if any(pipe.is_open for pipe in self._pipes):
            self.machine.clock.callLater(OUTPUT_WAIT, self._close_pipes)
        self.stdout.ended()
        self.stderr.ended()

    # What the core asks.

    @property
    def pid(self) -> int | None:
        """The process id, None before it is launched and once it is gone."""
        return None if self._gone else self._pid

    @property
    def place(self) -> WorkerPlace | None:
        """It is on this machine."""
        return None

    def calls_under_way(self, seconds: float) -> int:
        """There is no way to speak of."""
        return 0

    def stop(self) -> None:
        """End of input, and TERM for a handler that does not look."""
        self.cause = self.cause or "exit"
        if not self._gone:  # what never was has no link
            self.link.close()
        self._signal(signal.SIGTERM)

    def kill(self, cause: str) -> None:
        """KILL the process group."""
        self.cause = cause
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        pid = self.pid
        if pid is None:
            return
        # The child makes its own group as its first act; before that, only it can be meant.
        if not self._signal_group(number):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def _signal_group(self, number: int) -> bool:
        """Signal everybody in the worker's group; whether there was anybody."""
        if self._pid is None:
            return False
        try:
            os.killpg(self._pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    # What the link reports.

    @abstractmethod
    def frame_arrived(self, frame: Frame) -> None:
        """
        Take a frame; its payload is good until this returns.

        :raises FrameError: the frame has no meaning here.
        """

    @abstractmethod
    def turn_ended(self) -> None:
        """All frames that were in the socket have been reported."""

    def closed(self, problem: str | None) -> None:
        """A worker without its socket is of no use, if it is not at its end already."""
        if self.cause is not None:
            return
        if problem is not None:
            self.problem = problem
            self.kill("protocol")
        elif not self._gone:
            # Most often the process is ending, and its exit status will tell more.
            self._last_wait = self.machine.clock.callLater(LAST_WAIT, self._end_mute)

    def _end_mute(self) -> None:
        self.problem = "it closed its socket and lived on"
        self.kill("protocol")

    # What the system reports.

    def launched(self, pid: int, exited: Callable[[], None]) -> None:
        """
        The process exists; ``exited`` is called as soon as it has ended.

        Twisted waits for SIGCHLD, which uvloop takes for itself (it sets the wakeup descriptor when it
        runs), so a descriptor tells of the end.
        """
        self._pid = pid
        if self.cause is not None:
            # It was given up before there was anything to end.
            self._signal(signal.SIGKILL)
        try:
            self._watch = exit_descriptor(pid)
        except ProcessLookupError:
            self.machine.loop.call_soon(exited)
            return
        except OSError as error:  # there are no descriptors left: nothing would tell of its end
            self.cause, self.problem = self.cause or "launch", str(error)
            self._signal(signal.SIGKILL)
            self.machine.loop.call_soon(lambda: self._look_for_end(exited))
            return
        self.machine.loop.add_reader(self._watch, lambda: self._has_exited(exited))

    def not_launched(self, error: Exception) -> None:
        """Report, soon, that there is no process, and why."""
        self._gone = True
        self._close_pipes()
        failure = WorkerFailure("launch", self.machine.now(), text=str(error))
        self.machine.loop.call_soon(lambda: self.exited(failure))

    def _look_for_end(self, exited: Callable[[], None]) -> None:
        exited()
        if not self._gone:
            self.machine.clock.callLater(LAST_WAIT, self._look_for_end, exited)

    def _has_exited(self, exited: Callable[[], None]) -> None:
        self.stop_watching()
        exited()

    def stop_watching(self) -> None:
        """Close the descriptor of the process."""
        watch, self._watch = self._watch, None
        if watch is not None:
            self.machine.loop.remove_reader(watch)
            os.close(watch)

    def ended(self, code: int | None, number: int | None) -> None:
        """The process is gone: take what it still had to say, end its descendants, report."""
        if self._gone:
            return
        self.drain()
        self._gone = True
        self.stop_watching()
        # What the handler had started is still in the group; the process itself is reaped, its id free.
        self._signal_group(signal.SIGKILL)
        if self._last_wait is not None and self._last_wait.active():
            self._last_wait.cancel()
        self.link.close()
        self._end_pipes()
        self.exited(self._explain(code, number))

    def drain(self) -> None:
        """Report what the process had written before its end."""
        self.link.drain()

    @abstractmethod
    def exited(self, failure: WorkerFailure) -> None:
        """The process is gone, or could not be launched."""

    def _explain(self, code: int | None, number: int | None) -> WorkerFailure:
        ended_by = None if number is None else signal.Signals(number).name
        return self.report.explain(
            at=self.machine.now(),
            cause=self.cause,
            code=code,
            ended_by=ended_by,
            problem=self.problem,
            stderr=self.stderr.last,
            lacked_memory=self._lacked_memory(code, ended_by),
        )

    def _lacked_memory(self, code: int | None, ended_by: str | None) -> bool:
        if self.cause is None and ended_by == "SIGKILL":
            return self.machine.take_oom_kills()
        return self.cause == "memory" or code == OOM_EXIT

    def reported(self, frame: Frame) -> None:
        """
        Keep the first report of a failure.

        :raises FrameError: it is malformed.
        """
        if not self.report.cause:
            self.report = FailureReport.read(frame, self.spec)
