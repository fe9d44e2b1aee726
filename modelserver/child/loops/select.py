"""Which loop a worker runs: what its version's mode says (``VersionSpec.mode``)."""

from __future__ import annotations

from typing import Protocol

from modelserver.child.device_faults import DeviceFailed
from modelserver.child.loops.batches import BatchLoop
from modelserver.child.loops.calls import handler_call, last_rows
from modelserver.child.loops.loaded import LoadedModel
from modelserver.child.process.bootstrap import end
from modelserver.protocol import frames


class Loop(Protocol):
    """A worker's life after loading."""

    def run(self) -> None:
        """
        Serve until the server closes the socket.

        :raises EOFError, ConnectionError: the server closed the socket.
        """


def serve(loop: Loop, model: LoadedModel) -> None:
    """
    Say what this worker has of its device, and that it is ready; serve until the server closes the socket.

    A loop that is made before has paid for what it needs: no request waits for that. The process tells why
    and ends here where its device fails.

    :raises EOFError, ConnectionError: the server closed the socket.
    """
    connection = model.connection
    held = None if model.device is None else model.device.news()
    connection.sendall((held or b"") + frames.pack_bare(frames.LOADED))
    try:
        loop.run()
    except DeviceFailed as failed:
        connection.sendall(frames.pack_json(frames.DEVICE_FAILED, failed.fault.report()))
        end(1)


def make_loop(model: LoadedModel) -> Loop:
    """Return the loop of a mode; those that few handlers want are imported when one does."""
    if model.request.mode == "continuous":
        from modelserver.child.loops.continuous import ContinuousLoop

        return ContinuousLoop(model)
    if model.request.mode == "concurrent":
        from modelserver.child.loops.concurrent import ConcurrentLoop

        return ConcurrentLoop(model)
    call = handler_call(model.entry, model.context, last_rows(model.request.max_response_size))
    return BatchLoop(model, call, uses_slots=model.memory is not None)
