"""A node's end of the connection to the server, which it dials."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import ssl
import time
from collections.abc import Iterator, Mapping

from modelserver.backends.ray.secure_stream import SecureStream
from modelserver.backends.ray.wire import LARGEST_TO_NODE, SECONDS, NodeKind
from modelserver.protocol import frames
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame

DIALING = 10.0
"""Seconds for the connection and the handshake."""
SIGN_EVERY = 0.25
"""Seconds between two signs of life while something comes."""


class ServerLink:
    """
    The connection of one worker.

    :param heard: when the server was heard of last, in monotonic seconds.
    """

    def __init__(self, stream: SecureStream) -> None:
        self.stream = stream
        self.heard = time.monotonic()
        self._echoed = self.heard
        self._reader = FrameReader(LARGEST_TO_NODE)

    @classmethod
    def dial(
        cls, address: tuple[str, int], certificate: str, token: bytes, starter: int | None = None
    ) -> ServerLink:
        """
        Connect to the server that has ``certificate``, and to no other one, and show it the token.

        :param starter: a descriptor that can be read when whoever wants this is gone, or None.
        :raises OSError: it cannot be reached in time, or is another one, or nobody wants this any more.
        """
        until = time.monotonic() + DIALING
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        # Not a name, but the very certificate is what is compared.
        context.check_hostname = False
        context.load_verify_locations(cadata=certificate)
        stream = SecureStream(_connect(address, until, starter), context, server_side=False)
        while not stream.shake_hands():
            _wait(stream.socket, select.POLLIN, until, starter)
        if stream.certificate != ssl.PEM_cert_to_DER_cert(certificate):
            raise ConnectionAbortedError("the server has another certificate than was told")
        stream.write([token])
        return cls(stream)

    @property
    def socket(self) -> socket.socket:
        """The connection's socket."""
        return self.stream.socket

    def receive(self) -> Iterator[Frame]:
        """
        Read what is here; a frame is good until the next one is asked for, as is ``whole``.

        :raises EOFError: the server has closed the connection.
        :raises OSError: the connection is broken.
        :raises FrameError: what comes is no frame.
        """
        while True:
            try:
                received = self._reader.fill(self.stream)
            except BlockingIOError:
                return
            if not received:
                raise EOFError("the server has closed it")
            self.heard = time.monotonic()
            yield from self._reader
            if not self.stream.has_input:
                return

    def whole(self, frame: Frame) -> memoryview:
        """Return the bytes of the frame that was received last, its header with it."""
        return self._reader.whole(frame)

    def send_json(self, kind: NodeKind, document: Mapping[str, object]) -> None:
        """Say something to the server."""
        payload = json.dumps(document).encode()
        self.stream.write([frames.pack_header(len(payload), kind, 0, 0, 0), payload])

    def show_life(self, now: float) -> None:
        """Say something while much comes: the server's probes wait behind it, and it behind the network."""
        if self.heard > self._echoed and now - self._echoed >= SIGN_EVERY:
            self.echo(0)

    def echo(self, number: int) -> None:
        """Answer a probe, with this node's time."""
        self._echoed = time.monotonic()
        payload = SECONDS.pack(self._echoed)
        self.stream.write([frames.pack_header(len(payload), NodeKind.ECHO, 0, 0, number), payload])


def _connect(address: tuple[str, int], until: float, starter: int | None) -> socket.socket:
    """
    Return a socket that is connected.

    :raises OSError: the address cannot be reached in time, or nobody wants this any more.
    """
    family, kind, _, _, target = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
    connection = socket.socket(family, kind)
    try:
        connection.setblocking(False)
        if connection.connect_ex(target) == errno.EINPROGRESS:
            _wait(connection, select.POLLOUT, until, starter)
        problem = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            raise OSError(problem, os.strerror(problem))
        connection.getpeername()  # a refusal at once is no error of the socket
    except OSError:
        connection.close()
        raise
    return connection


def _wait(connection: socket.socket, event: int, until: float, starter: int | None) -> None:
    """
    Wait for a connection.

    :raises OSError: it takes too long, or nobody wants this any more.
    """
    poll = select.poll()
    poll.register(connection, event)
    if starter is not None:
        poll.register(starter, select.POLLIN)
    found = poll.poll(max(0.0, until - time.monotonic()) * 1000)
    if not found:
        raise TimeoutError("it takes too long")
    if any(descriptor == starter for descriptor, _ in found):
        raise ConnectionAbortedError("whoever started this process is gone")
