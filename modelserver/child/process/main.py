"""The start of a worker process: its own process group, its end tied to the server's, then load and serve."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from modelserver.protocol import frames
from modelserver.protocol.descriptors import LIFELINE_FD, SLOTS_FD, SOCKET_FD

if TYPE_CHECKING:
    from modelserver.child.context import Context
    from modelserver.child.loading.loader import EntryPoint
    from modelserver.protocol.load_request import LoadRequest


def main() -> None:
    """Run a spawned worker until the server closes its socket."""
    os.setpgid(0, 0)
    die_with(LIFELINE_FD)
    connection = begin()
    reader = frames.FrameReader()
    try:
        frame = reader.wait(connection)
        connection.sendall(frames.pack_bare(frames.STARTED))
        document = frames.unpack_json(frame)
        if frame.kind == frames.PRELOAD:
            from modelserver.child.process.template import Template

            Template(connection, document).run()
        elif frame.kind == frames.LAUNCH:
            from modelserver.child.process.torchrun import Launcher

            Launcher(connection, document).run()
        else:
            work(connection, reader, document)
    except (EOFError, ConnectionError):
        pass
    end(0)


def begin() -> socket.socket:
    """
    Keep the descriptors from what the handler starts, and write by lines; returns the worker's socket.

    Handlers' log records from level INFO on are lines of the output, the message alone, as in the peers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What the handler starts shall not hold the socket open.
    for descriptor in (SOCKET_FD, SLOTS_FD):
        try:
            os.set_inheritable(descriptor, False)
        except OSError:
            pass  # there are no slots
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are text streams here
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)
    return socket.socket(fileno=SOCKET_FD)


def die_with(lifeline: int) -> int | None:
    """
    Be killed by the kernel when the write end of the pipe ``lifeline`` closes: when the server is gone.

    The kernel signals the owner of a file description; opening the pipe again gives this process its own,
    which is returned: a process that is forked from this one has no use for it.
    """
    os.set_inheritable(lifeline, False)
    try:
        own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(own, fcntl.F_SETFL, os.O_NONBLOCK | os.O_ASYNC)
    except (OSError, AttributeError):
        # No Linux: the end of the socket is the only sign, seen at the next read.
        return None
    return own


def work(connection: socket.socket, reader: frames.FrameReader, document: Mapping[str, object]) -> None:
    """
    Load what ``document`` says and serve batches.

    :raises EOFError: the server closed the socket.
    """
    from modelserver.child.loops.select import loop_class

    request, entry, context = load_or_end(connection, document)
    loop_class(request)(connection, reader, request, entry, context).run()


def load_or_end(
    connection: socket.socket, document: Mapping[str, object]
) -> tuple[LoadRequest, EntryPoint, Context]:
    """Load what ``document`` says and tell the server; where that fails, the process ends."""
    from modelserver.child.loading.loader import LoadFailed, load
    from modelserver.protocol.load_request import LoadRequest

    request = LoadRequest.from_document(document)
    announce(request.dialect)
    try:
        entry, context = load(request)
    except LoadFailed as failure:
        connection.sendall(frames.pack_json(frames.LOAD_FAILED, failure.report))
        end(1)
    connection.sendall(frames.pack_bare(frames.LOADED))
    return request, entry, context


def announce(dialect: str) -> None:
    """Print what the peers' workers print before they load: tools read it in the logs."""
    is_mms = dialect == "mms"
    print(f"[PID] {os.getpid()}" if is_mms else f"[PID]{os.getpid()}")
    print(f"{'MMS' if is_mms else 'Torch'} worker started.")


def end(code: int) -> NoReturn:
    """Leave without waiting for the handler's threads, but with its output written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            pass
    os._exit(code)
