"""The start of a worker process: its own process group, its end tied to the server's, then load and serve."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelserver.child.process.bootstrap import (
    announce,
    begin,
    die_with,
    end,
    end_with_server,
    go_first_in_shortage,
)
from modelserver.protocol import frames
from modelserver.protocol.descriptors import KEPT_FD, LIFELINE_FD, OFFERS_FD
from modelserver.protocol.frame_stream import FrameReader

if TYPE_CHECKING:
    from modelserver.child.loops.loaded import LoadedModel


def main() -> None:
    """Run a spawned worker until the server closes its socket."""
    os.setpgid(0, 0)
    go_first_in_shortage()
    die_with(LIFELINE_FD)
    connection = begin()
    reader = FrameReader()
    try:
        frame = reader.wait(connection)
        connection.sendall(frames.pack_bare(frames.STARTED))
        document = frames.unpack_json(frame)
        if frame.kind == frames.PRELOAD:
            from modelserver.child.process.template import TemplateServer

            TemplateServer(connection, document).run()
        elif frame.kind == frames.LAUNCH:
            from modelserver.child.process.torchrun import RankLauncher

            RankLauncher(connection, document).run()
        else:
            work(connection, reader, document)
    except (EOFError, ConnectionError):
        end_with_server(0)
    end(0)


def work(connection: socket.socket, reader: FrameReader, document: Mapping[str, object]) -> None:
    """
    Load what ``document`` says and serve batches.

    :raises EOFError: the server closed the socket.
    """
    from modelserver.child.loops.select import make_loop, serve

    model = load_or_end(connection, reader, document)
    serve(make_loop(model), model)


def load_or_end(
    connection: socket.socket, reader: FrameReader, document: Mapping[str, object]
) -> LoadedModel:
    """Load what ``document`` says; where that fails, the server is told and the process ends."""
    from modelserver.child.failures import LoadFailed
    from modelserver.child.loading.loader import load
    from modelserver.child.loops.loaded import LoadedModel
    from modelserver.protocol.ahead import AheadReceiver
    from modelserver.protocol.load_request import LoadRequest

    request = LoadRequest.from_document(document)
    announce(request.dialect)
    try:
        entry, context = load(request)
    except LoadFailed as failure:
        connection.sendall(frames.pack_json(frames.LOAD_FAILED, failure.report))
        end(1)
    return LoadedModel(
        connection=connection,
        reader=reader,
        request=request,
        entry=entry,
        context=context,
        ahead=AheadReceiver(OFFERS_FD, KEPT_FD) if document.get("ahead") else None,
    )
