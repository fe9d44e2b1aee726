"""The worker's process on a node: the ordinary worker program, with the descriptors that it expects."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
from collections.abc import Mapping, Sequence

from attrs import field

from modelserver.language.attributes import define
from modelserver.protocol.descriptors import LIFELINE_FD, SOCKET_FD
from modelserver.protocol.frame_stream import unsent
from modelserver.protocol.frames import Pieces
from modelserver.system.exit_descriptor import exit_descriptor

_ABOVE = 16
"""Descriptors from here on are in nobody's way."""
_BUFFER = 1 << 21


@define(eq=False)
class NodeWorker:
    """
    A worker that runs beside its agent, and is killed by the kernel, with its group, when the agent is gone.

    :param connection: this side of its socket, which never blocks.
    :param outputs: what it writes to standard output and error.
    :param watch: a descriptor that can be read once it has ended.
    :param lifeline: the end of a pipe that holds it alive.
    """

    pid: int
    connection: socket.socket
    outputs: tuple[int, int]
    watch: int
    lifeline: int
    killed: bool = field(default=False, init=False)
    _unsent: Pieces = field(factory=list, init=False)
    _has_input: bool = field(default=True, init=False)

    @classmethod
    def spawn(cls, command: Sequence[str], environment: Mapping[str, str]) -> NodeWorker:
        """
        Start the process.

        :raises OSError: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                end.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        pipes = [os.pipe() for _ in range(3)]
        (out, out_end), (error, error_end), (lifeline_end, lifeline) = pipes
        wanted = {1: out_end, 2: error_end, SOCKET_FD: theirs.fileno(), LIFELINE_FD: lifeline_end}
        aside = {number: fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for number, end in wanted.items()}
        actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
        actions += [(os.POSIX_SPAWN_DUP2, end, number) for number, end in aside.items()]
        try:
            pid = os.posix_spawn(command[0], list(command), dict(environment), file_actions=actions)
        except OSError:
            ours.close()
            for descriptor in (out, error, lifeline):
                os.close(descriptor)
            raise
        finally:
            theirs.close()
            for descriptor in (out_end, error_end, lifeline_end, *aside.values()):
                os.close(descriptor)
        ours.setblocking(False)
        for descriptor in (out, error):
            os.set_blocking(descriptor, False)
        return cls(pid, ours, (out, error), exit_descriptor(pid), lifeline)

    def write(self, pieces: Pieces) -> None:
        """Hand bytes to the process; ``flush`` writes what it does not take at once."""
        if self._has_input:
            # What waits is copied: the caller's memory is good for this call.
            left = pieces if self._unsent else self._send(pieces)
            self._unsent += [bytes(piece) for piece in left]

    def _send(self, pieces: Pieces) -> Pieces:
        """Write what the process takes now; return what is left."""
        while pieces:
            try:
                sent = self.connection.sendmsg(pieces[:1000])
            except BlockingIOError:
                return pieces
            except OSError:
                return []  # it is ending; its exit code tells more
            pieces = unsent(pieces, sent)
        return []

    @property
    def has_unsent(self) -> bool:
        """Whether something waits until the process reads."""
        return bool(self._unsent)

    def flush(self) -> bool:
        """Write what waits; return whether nothing waits any more."""
        self._unsent = self._send(self._unsent)
        return not self._unsent

    def end_input(self) -> None:
        """Tell the process that nothing comes any more."""
        if self._has_input:
            self._has_input = False
            self._unsent = []
            try:
                self.connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # it has closed its own end

    def signal(self, number: int) -> None:
        """Signal the process group; before the process has made it, the process alone."""
        self.killed = self.killed or number == signal.SIGKILL
        for send in (os.killpg, os.kill):
            try:
                send(self.pid, number)
            except ProcessLookupError:
                continue
            return

    def reap(self) -> tuple[int | None, int | None]:
        """Return the exit code, or the signal, of a process that has ended; what it has started is killed."""
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:
            return None, None
        finally:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        if os.WIFSIGNALED(status):
            return None, os.WTERMSIG(status)
        return os.WEXITSTATUS(status), None
