"""Where nodes dial the server: nothing of a connection is read before its token is known."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from hashlib import sha256

from attrs import field
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from modelserver.backends.ray.secure_stream import SecureStream
from modelserver.backends.ray.wire import TOKEN_SIZE
from modelserver.interfaces import EventLoop
from modelserver.language.attributes import define

HANDSHAKE = 10.0
"""Seconds that a connection has to show its token."""
MOST_UNKNOWN = 64
"""Connections without a token at one time; for the next one, that which has been here longest is closed."""
_BACKLOG = 64
_LACKS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""What accepting fails with while this machine lacks something; the connection waits all the same."""
_REST = 0.5
"""Seconds in which nothing is accepted then."""

_log = Logger()

Taker = Callable[[SecureStream], None]


@define(eq=False)
class NodeListener:
    """
    Takes connections of nodes, and hands each to whoever has given out its token, once.

    :param port: 0: one that the system chooses.
    """

    context: ssl.SSLContext
    loop: EventLoop
    clock: IReactorTime
    port: int = 0
    _socket: socket.socket | None = field(default=None, init=False)
    _expected: dict[bytes, Taker] = field(factory=dict, init=False)
    _unknown: dict[_Unknown, None] = field(factory=dict, init=False)
    """Those without a token, the oldest first."""
    _rest: IDelayedCall | None = field(default=None, init=False)

    def listen(self, host: str) -> tuple[str, int]:
        """
        Listen, unless it does already; return host and port.

        :raises OSError: it cannot be listened there.
        """
        if self._socket is None:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._socket = socket.create_server((host, self.port), family=family, backlog=_BACKLOG)
            self._socket.setblocking(False)
            self.loop.add_reader(self._socket.fileno(), self._accept)
        name = self._socket.getsockname()
        return str(name[0]), int(name[1])

    def expect(self, token: bytes, taker: Taker) -> None:
        """Have the connection that shows a token handed to ``taker``; a token is good once."""
        self._expected[sha256(token).digest()] = taker

    def forget(self, token: bytes) -> None:
        """Expect a connection no more."""
        self._expected.pop(sha256(token).digest(), None)

    def _accept(self) -> None:
        assert self._socket is not None
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            if error.errno in _LACKS:
                _log.warn("Connections of nodes cannot be accepted: {error}", error=error)
                self.loop.remove_reader(self._socket.fileno())
                self._rest = self.clock.callLater(_REST, self._go_on)
            return  # else it is gone already
        if len(self._unknown) >= MOST_UNKNOWN:
            next(iter(self._unknown)).end("there are too many")
        stream = SecureStream(connection, self.context, server_side=True)
        self._unknown[_Unknown(stream, self)] = None

    def _go_on(self) -> None:
        self._rest = None
        if self._socket is not None:
            self.loop.add_reader(self._socket.fileno(), self._accept)

    def shown(self, token: bytes) -> Taker | None:
        """Return who waits for this token, which is of no use from now on."""
        # By its hash: how long the look-up takes tells nothing of the tokens that there are.
        return self._expected.pop(sha256(token).digest(), None)

    def known(self, unknown: _Unknown) -> None:
        """The connection has shown its token, or is closed."""
        self._unknown.pop(unknown, None)

    def close(self) -> None:
        """Listen no more."""
        listening, self._socket = self._socket, None
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if listening is not None:
            self.loop.remove_reader(listening.fileno())
            listening.close()
        for unknown in list(self._unknown):
            unknown.end(None)


class _Unknown:
    """A connection that has not shown its token yet."""

    def __init__(self, stream: SecureStream, owner: NodeListener) -> None:
        self._stream, self._owner = stream, owner
        self._token = bytearray()
        self._timer: IDelayedCall = owner.clock.callLater(HANDSHAKE, self.end, "it was too slow")
        owner.loop.add_reader(stream.socket.fileno(), self._readable)

    def _readable(self) -> None:
        try:
            if not self._stream.shake_hands():
                return
            rest = bytearray(TOKEN_SIZE - len(self._token))
            received = self._stream.recv_into(memoryview(rest))
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            self.end(str(error))
            return
        if not received:
            self.end("it was closed")
            return
        self._token += rest[:received]
        if len(self._token) == TOKEN_SIZE:
            self._show()

    def _show(self) -> None:
        taker = self._owner.shown(bytes(self._token))
        if taker is None:
            self.end("its token is not known")
            return
        self._leave()
        taker(self._stream)

    def _leave(self) -> None:
        if self._timer.active():
            self._timer.cancel()
        self._owner.loop.remove_reader(self._stream.socket.fileno())
        self._owner.known(self)

    def end(self, why: str | None) -> None:
        """Close the connection; ``why`` is for the log."""
        if why is not None:
            _log.warn("A node's connection was refused: {why}", why=why)
        self._leave()
        self._stream.close()
