"""Starts a server, in the background or in this process, and stops it: what all launchers share."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

import psutil
from attrs import field

from modelserver.cli.launchers.serve import serve
from modelserver.language.attributes import frozen
from modelserver.system.installation import ROOT
from modelserver.system.pid_file import NAME, PidFile, PidFileUnsafe

STOP_TIMEOUT = 60.0
"""Seconds that a stop waits for the server's end."""
PAUSE = 0.05
"""Seconds between two looks at it: it is no child of ours."""

COMMANDS = ("torchserve", "multi-model-server", "mxnet-model-server")
TORCHSERVE_CLASS = "org.pytorch.serve.ModelServer"
MMS_CLASS = "com.amazonaws.ml.mms.ModelServer"
PEERS = (TORCHSERVE_CLASS, MMS_CLASS)
"""The main classes of the servers that this one replaces: one that still runs is stopped, too."""

_SERVE = (
    "import sys; sys.path[0] = sys.argv[1]; from modelserver.cli.launchers.serve import serve; "
    "sys.exit(serve(sys.argv[3:], own_console=True))"
)


@frozen
class Words:
    """
    The texts of a launcher.

    :param main_class: a word in the command line of a server in the background: that of the peer's program,
        by which toolkits such as SageMaker's find the server among the processes.
    :param gone: printed at a stop, where the server has just ended by itself.
    :param stale: printed at a stop, where the process of the pid file is not a server.
    """

    main_class: str
    running: str
    absent: str
    stopped: str
    gone: str
    slow: str
    stale: str
    orphan: str = "Removing orphan pid file."


class Processes(Protocol):
    """What a launcher asks of the operating system."""

    def is_server(self, pid: int) -> bool:
        """Return whether a launcher has started this process."""

    def is_first(self) -> bool:
        """Return whether this is the first process of a container, which would end with it."""

    def end(self, pid: int, seconds: float) -> bool | None:
        """Ask a process to end; return whether it has within ``seconds``, or None if it was gone before."""

    def serve_here(self, options: Sequence[str]) -> int:
        """Be the server; return its exit status."""

    def serve_in_background(
        self, main_class: str, options: Sequence[str], started: Callable[[int], None]
    ) -> int:
        """
        Start the server as a process of its own; ``started`` gets its id before this returns.

        :param main_class: a word of its command line.
        """


class SystemProcesses:
    """The processes of this machine."""

    def is_server(self, pid: int) -> bool:
        """Return whether this launcher, or that of TorchServe or MMS, has started this process."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            words = process.cmdline()
        except psutil.Error:
            return False
        commands = [Path(word).name for word in words[:2]]
        return any(command in commands for command in COMMANDS) or any(peer in words for peer in PEERS)

    def is_first(self) -> bool:
        """Return whether this process has the id 1."""
        return os.getpid() == 1

    def end(self, pid: int, seconds: float) -> bool | None:
        """Send TERM, and wait; a zombie, which its parent has not reaped, counts as ended."""
        try:
            process = psutil.Process(pid)
            process.terminate()
        except psutil.NoSuchProcess:
            return None
        latest = time.monotonic() + seconds
        while _is_alive(process):
            if time.monotonic() > latest:
                return False
            time.sleep(PAUSE)
        return True

    def serve_here(self, options: Sequence[str]) -> int:
        """Run twistd in this process."""
        return serve(options, own_console=True)

    def serve_in_background(
        self, main_class: str, options: Sequence[str], started: Callable[[int], None]
    ) -> int:
        """Fork; the child has its own session, no input, this process's output, another command line."""
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            _become_server([sys.executable, "-c", _SERVE, str(ROOT), main_class, *options])
        started(pid)
        return 0


def _become_server(command: list[str]) -> NoReturn:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.execv(command[0], command)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@frozen
class BackgroundLauncher:
    """Starts and stops the one server that a pid file stands for."""

    words: Words
    processes: Processes = field(factory=SystemProcesses)
    pid_file: PidFile = field(factory=lambda: PidFile(Path(tempfile.gettempdir()) / NAME))
    say: Callable[[str], None] = print

    def start(self, options: Sequence[str], in_foreground: bool) -> int:
        """
        Start the server, if none runs.

        The first process of a container stays in the foreground, told to or not.

        :param options: of ``modelserver serve``.
        :returns: the exit status.
        """
        try:
            pid = self.pid_file.read()
        except PidFileUnsafe as why:
            self.say(str(why))
            return 1
        if pid is not None and not self._is_server(pid):
            self.say(self.words.orphan)
            self.pid_file.remove()
        elif pid is not None:
            self.say(self.words.running)
            return 1
        if not self.pid_file.claim(os.getpid()):
            self.say(self.words.running)
            return 1
        options = ["--pid-file", str(self.pid_file.path), *options]
        if in_foreground or self.processes.is_first():
            try:
                return self.processes.serve_here(options)
            finally:  # the server has removed it, unless it did not come to that
                self.pid_file.remove_if(os.getpid())
        return self.processes.serve_in_background(self.words.main_class, options, self.pid_file.replace)

    def stop(self) -> int:
        """
        Stop the server, if one runs.

        :returns: the exit status.
        """
        try:
            pid = self.pid_file.read()
        except PidFileUnsafe as why:
            self.say(str(why))
            return 1
        if pid is None:
            self.say(self.words.absent)
            return 0
        if not self._is_server(pid):
            self.say(self.words.stale)
        else:
            is_over = self.processes.end(pid, STOP_TIMEOUT)
            if is_over is False:
                self.say(self.words.slow)
                return 1
            self.say(self.words.gone if is_over is None else self.words.stopped)
        self.pid_file.remove_if(pid)
        return 0

    def _is_server(self, pid: int) -> bool:
        return pid > 0 and pid != os.getpid() and self.processes.is_server(pid)
