"""TLS on a socket that never blocks, for the server's event loop and for a node's agent alike."""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

from modelserver.protocol.frames import SMALL, Pieces

_READ = 1 << 18
_THIN_LINEAR_TIMEOUTS, _LONGEST_PAUSE = 16, 44
"""Linux's numbers of ``TCP_THIN_LINEAR_TIMEOUTS`` and ``TCP_RTO_MAX_MS``: Python has no names for them."""
_SHORTEST = 1000
"""Milliseconds that are the least that it takes."""
_TRIES = 10
"""
Parts of the time of silence, one of which is the longest pause between two tries.

A kernel makes fifteen tries (``net.ipv4.tcp_retries2``), whatever time is set, while it has no route: when
this machine's own cable is out. The first of them are closer together.
"""
_SPARE = 5.0
"""Seconds that the kernel tries on after we have given up."""
_LONGEST = 120_000
"""Milliseconds that are the most that it takes."""
_MOST = (1 << 31) - 1
"""The largest number that an option takes."""
_PIECES = 64
"""Pieces that are encrypted before the socket gets what there is of them."""


class SecureStream:
    """
    Reads and writes a connected socket through TLS.

    What is handed over for writing is encrypted, and so copied, at once: the caller may use its memory again.

    :ivar sent: bytes that the socket has taken, and ``received`` those that it has given, encrypted.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, server_side: bool) -> None:
        connection.setblocking(False)
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side)
        self._unsent: deque[memoryview] = deque()
        self._is_ready = False
        self.sent = self.received = 0

    def outlast(self, silence: float) -> None:
        """
        Have the connection live through cuts of so many seconds, and be of use soon after them.

        The kernel doubles the pause before each try to send what was lost, so that it may try again as long
        after a cut as the cut was. ``TCP_RTO_MAX_MS`` ends that from Linux 6.15 on; before, streams of few
        packets can go without, unless BBR rules them. Tries that come often would end the connection early:
        their number is limited, but where a time is set.
        """
        limit = min(int((silence + _SPARE) * 1000), _MOST)
        options = (
            (_THIN_LINEAR_TIMEOUTS, 1),
            (_LONGEST_PAUSE, min(max(limit // _TRIES, _SHORTEST), _LONGEST)),
            (socket.TCP_USER_TIMEOUT, limit),
        )
        for option, value in options:
            with suppress(OSError):  # another kernel, or no TCP
                self.socket.setsockopt(socket.IPPROTO_TCP, option, value)

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is done."""
        return self._is_ready

    @property
    def certificate(self) -> bytes | None:
        """The other side's certificate (DER), once the handshake is done; None where it showed none."""
        return self._tls.getpeercert(binary_form=True)

    @property
    def backlog(self) -> int:
        """How many encrypted bytes wait for the socket."""
        return sum(map(len, self._unsent))

    @property
    def has_backlog(self) -> bool:
        """Whether bytes wait for the socket."""
        return bool(self._unsent)

    def shake_hands(self) -> bool:
        """
        Go on with the handshake; return whether it is done.

        :raises OSError: the other side is gone, or is not who it should be.
        """
        while not self._is_ready:
            try:
                self._tls.do_handshake()
                self._is_ready = True
            except ssl.SSLWantReadError:
                self._push()
                try:
                    if not self._receive():
                        raise ConnectionResetError("closed during the handshake")
                except BlockingIOError:
                    return False
        self._push()
        return True

    def recv_into(self, buffer: memoryview, /) -> int:
        """
        Read what there is, at most the buffer's size; 0 at the end of the stream.

        The socket is not read again when something was there: whether it has more is for its selector to
        say, and ``has_input`` tells of what the selector does not see.

        :raises BlockingIOError: there is nothing now.
        :raises OSError: the connection is broken.
        """
        tls, incoming = self._tls, self._incoming
        filled, size = 0, len(buffer)
        while filled < size:
            # It is asked first: an exception for each time that there is nothing costs more than the rest.
            if not incoming.pending and not tls.pending():
                if filled:
                    break
                if not self._receive():
                    return 0
            try:
                got = tls.read(size - filled, buffer[filled:] if filled else buffer)
            except ssl.SSLWantReadError:
                continue  # a part of a record
            except ssl.SSLZeroReturnError:
                break
            if not got:
                break
            filled += int(got)
        return filled

    @property
    def has_input(self) -> bool:
        """Whether something was taken from the socket that is not read yet."""
        return bool(self._incoming.pending or self._tls.pending())

    def _receive(self) -> int:
        data = self.socket.recv(_READ)
        if data:
            self.received += len(data)
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return len(data)

    def write(self, pieces: Iterable[bytes | bytearray | memoryview]) -> None:
        """
        Encrypt pieces, and send what the socket takes now; ``flush`` sends the rest.

        :raises OSError: the connection is broken.
        """
        for number, piece in enumerate(_joined(pieces), 1):
            if len(piece):
                self._tls.write(piece)
            if not number % _PIECES:
                self._push()
        self._push()

    def flush(self) -> bool:
        """
        Send what waits; return whether nothing waits any more.

        :raises OSError: the connection is broken.
        """
        while self._unsent:
            first = self._unsent[0]
            try:
                sent = self.socket.send(first)
            except BlockingIOError:
                return False
            self.sent += sent
            if sent < len(first):
                self._unsent[0] = first[sent:]
            else:
                self._unsent.popleft()
        return True

    def _push(self) -> None:
        if not self._outgoing.pending:
            return
        data = self._outgoing.read()
        if self._unsent:
            self._unsent.append(memoryview(data))
            self.flush()
            return
        try:
            sent = self.socket.send(data)
        except BlockingIOError:
            sent = 0
        self.sent += sent
        if sent < len(data):
            self._unsent.append(memoryview(data)[sent:])

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def _joined(pieces: Iterable[bytes | bytearray | memoryview]) -> Pieces:
    """Small pieces as one: each write makes a record of its own."""
    joined: Pieces = []
    small: Pieces = []
    for piece in pieces:
        if len(piece) < SMALL:
            small.append(piece)
            continue
        if small:
            joined.append(b"".join(small))
            small = []
        joined.append(piece)
    if small:
        joined.append(b"".join(small))
    return joined
