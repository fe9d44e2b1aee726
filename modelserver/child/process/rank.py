"""A rank: one of the processes that torchrun starts for a parallel worker; each runs the handler."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Sequence

from modelserver.child.context import RequestProcessor
from modelserver.child.data.answers import ReplyRow
from modelserver.child.data.decoder import Row
from modelserver.child.loops.batches import BatchLoop
from modelserver.child.loops.calls import Call, handler_call, last_rows
from modelserver.child.loops.loaded import LoadedModel
from modelserver.child.loops.select import serve
from modelserver.child.process.bootstrap import begin, die_with, end, end_with_server
from modelserver.child.process.main import load_or_end
from modelserver.child.process.torchrun import EQUIPMENT, INTRODUCTION
from modelserver.jobs import Answer
from modelserver.protocol import frames
from modelserver.protocol.descriptors import LIFELINE_FD, SLOTS_FD, SOCKET_FD
from modelserver.protocol.frame_stream import FrameReader

_ABOVE = 16
"""Descriptors from here on are in nobody's way."""
_NOTHING: ReplyRow = (0, Answer(200, b"", b""))


def main() -> None:
    """Run a rank until the server closes its socket, or the launcher is gone."""
    rank = int(os.environ["LOCAL_RANK"])
    take_equipment(rank)
    lifeline = die_with(LIFELINE_FD)
    if lifeline is not None and _is_over(lifeline):
        end(1)
    connection = begin()
    reader = FrameReader()
    try:
        frame = reader.wait(connection)
        introduction = {"rank": rank, "pid": os.getpid()}
        connection.sendall(frames.pack_json(frames.STARTED, introduction))
        model = load_or_end(connection, reader, frames.unpack_json(frame))
        serve(_rank_loop(rank, model), model)
    except (EOFError, ConnectionError):
        end_with_server(0)
    end(0)


def take_equipment(rank: int) -> None:
    """Receive this process's descriptors from the launcher, which is behind stdin, and introduce it."""
    with socket.socket(fileno=0) as launcher:
        _, received, _, _ = socket.recv_fds(launcher, len(EQUIPMENT), 3)
        launcher.send(INTRODUCTION.pack(rank, os.getpid()))
    nothing = os.open(os.devnull, os.O_RDONLY)
    if nothing != 0:
        os.dup2(nothing, 0)
    # First out of the way of each other, then where they belong.
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for descriptor in received]
    for descriptor in received:
        os.close(descriptor)
    for descriptor, number in zip(aside, (SOCKET_FD, LIFELINE_FD, SLOTS_FD), strict=False):
        os.dup2(descriptor, number, inheritable=False)
        os.close(descriptor)


def _is_over(lifeline: int) -> bool:
    """Whether the other end closed before the kernel could be asked to watch it."""
    try:
        return not os.read(lifeline, 1)
    except BlockingIOError:
        return False


def _rank_loop(rank: int, model: LoadedModel) -> BatchLoop:
    """
    Return the loop of a rank: the answers of rank 0 are the worker's.

    Large answers do not go where their requests were: another rank may still be reading there.
    """
    call = handler_call(model.entry, model.context, last_rows(model.request.max_response_size))
    if rank == 0:
        return BatchLoop(model, call, uses_slots=False)
    loop = BatchLoop(model, _without_answers(call), uses_slots=False)
    # Several processes compute one answer together: the first one speaks.
    model.context.send_parts = _say_nothing
    return loop


def _say_nothing(parts: Sequence[object]) -> None:
    """Send no part."""


def _without_answers(call: Call) -> Call:
    """Return a call of which the server learns that a batch is done, and nothing else."""

    def call_only(data: list[Row], processors: list[RequestProcessor]) -> list[ReplyRow]:
        call(data, processors)
        return [_NOTHING] * len(data)

    return call_only
