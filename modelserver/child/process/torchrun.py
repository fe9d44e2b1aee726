"""The process of a parallel worker: it runs torchrun, equips the ranks, and tells how one of them ended."""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
from collections.abc import Mapping
from threading import Thread

from modelserver.child.failures import LoadFailed
from modelserver.child.process.bootstrap import end
from modelserver.protocol import frames
from modelserver.protocol.descriptors import FIRST_RANK_FD, SLOTS_FD
from modelserver.protocol.worker_start import RANK, start_command
from modelserver.system.exit_descriptor import exit_descriptor

EQUIPMENT = b"equipment"
INTRODUCTION = struct.Struct("<II")
"""What a rank says of itself once it is equipped: its number on this machine, and its process id."""


class RankLauncher:
    """
    Runs ``torch.distributed.run`` in this process.

    torchrun closes all descriptors of the ranks that it starts, except the standard streams. So their stdin
    is one end of a socket pair from which each takes a message with its descriptors: a socket to the server
    (any one: the rank introduces itself there), the lifeline, and the shared memory.
    """

    def __init__(self, connection: socket.socket, document: Mapping[str, object]) -> None:
        self._connection = connection
        self._arguments = [str(argument) for argument in _listed(document["arguments"])]
        self._sockets = range(FIRST_RANK_FD, FIRST_RANK_FD + int(str(document["ranks"])))
        self._more = [SLOTS_FD] if document["slot_size"] else []
        self._watched: dict[int, tuple[int, int]] = {}
        """The rank and the process id behind each exit descriptor."""

    def run(self) -> None:
        """Start the ranks and stay until they have ended."""
        try:
            from torch.distributed.elastic.multiprocessing.api import SignalException
            from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
            from torch.distributed.run import parse_args
            from torch.distributed.run import run as torchrun
        except ImportError as error:
            self._fail(ImportError(f"a parallel worker needs torch in {sys.executable}: {error}"))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        os.dup2(theirs.fileno(), 0)
        theirs.close()
        Thread(target=self._attend, args=(ours, os.pipe()), daemon=True).start()
        command = ["--no-python", *start_command(sys.executable, RANK, *sys.argv[1:])]
        try:
            torchrun(parse_args([*self._arguments, *command]))  # type: ignore[no-untyped-call]  # torch's
        except SignalException:
            pass
        except ChildFailedError:
            end(1)
        except (Exception, SystemExit) as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        report = LoadFailed.because(error).report
        print("".join(f"{line}\n" for line in _listed(report["traceback"])), file=sys.stderr)
        self._connection.sendall(frames.pack_json(frames.LOAD_FAILED, report))
        end(1)

    def _attend(self, ours: socket.socket, lifeline: tuple[int, int]) -> None:
        """Equip the ranks, get to know them, and report the ones that end."""
        for number in self._sockets:
            socket.send_fds(ours, [EQUIPMENT], [number, lifeline[0], *self._more])
            os.close(number)
        poll = select.poll()
        poll.register(ours, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor != ours.fileno():
                    poll.unregister(descriptor)
                    self._report(descriptor)
                else:
                    poll.register(self._meet(ours), select.POLLIN)

    def _meet(self, ours: socket.socket) -> int:
        """Open a descriptor that tells of the end of the process that introduces itself."""
        rank, pid = INTRODUCTION.unpack(ours.recv(INTRODUCTION.size))
        watch = exit_descriptor(pid)
        self._watched[watch] = rank, pid
        return watch

    def _report(self, watch: int) -> None:
        """Tell how a rank ended; it is left for torchrun to wait for."""
        rank, pid = self._watched.pop(watch)
        document: dict[str, object] = {"rank": rank, "code": None, "signal": None}
        try:
            status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            status = None  # torchrun was faster
        if status is not None:
            document["code" if status.si_code == os.CLD_EXITED else "signal"] = status.si_status
        os.close(watch)
        try:
            self._connection.sendall(frames.pack_json(frames.RANK_EXITED, document))
        except ConnectionError:
            pass  # the server wants no more of this worker


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else []
