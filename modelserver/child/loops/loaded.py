"""What every loop of a worker is given."""

from __future__ import annotations

import socket

from attrs import field

from modelserver.child.context import Context, EntryPoint
from modelserver.child.data.decoder import PLAIN, Decoder
from modelserver.child.device_memory import DeviceMemory
from modelserver.dialect_rules import DIALECTS
from modelserver.language.attributes import frozen
from modelserver.protocol.ahead import AheadReceiver
from modelserver.protocol.descriptors import SLOTS_FD
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.load_request import LoadRequest
from modelserver.protocol.shared_memory import map_slots


@frozen(kw_only=True)
class LoadedModel:
    """
    A handler that is ready, and the server that it is to answer.

    :param connection: the worker's blocking socket to the server.
    :param reader: what has been read of the socket, and not been taken out yet.
    :param entry: what is called with the data and the context.
    :param decoder: makes the handler's data of requests.
    :param ahead: the worker's end of what is sent ahead, None where nothing is.
    :param memory: the shared memory for large bodies, or None.
    :param device: tells what of a device's memory this process has; None where it was given no device.
    """

    connection: socket.socket
    reader: FrameReader
    request: LoadRequest
    entry: EntryPoint
    context: Context
    ahead: AheadReceiver | None = None
    decoder: Decoder = field(init=False)
    memory: memoryview | None = field(init=False)
    device: DeviceMemory | None = field(init=False)

    @device.default
    def _watch_device(self) -> DeviceMemory | None:
        return DeviceMemory.of(self.context)

    @decoder.default
    def _make_decoder(self) -> Decoder:
        plain = PLAIN if DIALECTS[self.request.dialect].tells_plain_fields else {}
        opens_tensors = self.request.envelope == "kservev2"
        return Decoder(self.request.decode_input_request, plain, opens_tensors, self.request.version)

    @memory.default
    def _map_memory(self) -> memoryview | None:
        return map_slots(SLOTS_FD) if self.request.slot_size else None
