"""Accepts connections on a TLS port, on asyncio's loop; clients that speak plain HTTP get an answer."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import cast

from attrs import field
from twisted.logger import Logger

from modelserver.language.attributes import define

HANDSHAKE_BYTE = b"\x16"
"""The first byte of every TLS connection; no request of HTTP begins with it."""
HANDSHAKE_TIMEOUT = 10.0
"""Seconds that a client has for its first byte, and then for its handshake."""
LINGER = 5.0
"""Seconds that the client of a refused request has to read why."""
PAUSE = 1.0
"""Seconds without accepting after the system had no descriptor for one more."""
AT_ONCE = 64

_log = Logger()


@define(eq=False)
class TlsAcceptor:
    """
    Owns a listening socket, and connections until their first byte.

    :param refusal: the answer for a client that speaks plain HTTP.
    :param most_silent: how many connections may be without their first byte; one more closes the oldest.
    """

    loop: asyncio.AbstractEventLoop
    bound: socket.socket
    context: ssl.SSLContext
    make_protocol: Callable[[], asyncio.BaseProtocol]
    refusal: bytes
    most_silent: int = 1024
    _silent: dict[socket.socket, asyncio.TimerHandle] = field(factory=dict, init=False)
    _beginning: set[asyncio.Task[object]] = field(factory=set, init=False)
    _pause: asyncio.TimerHandle | None = field(default=None, init=False)

    def start(self) -> None:
        """Begin to accept connections."""
        self._pause = None
        self.loop.add_reader(self.bound.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more connections; those past their first byte stay."""
        if self._pause is not None:
            self._pause.cancel()
        else:
            self.loop.remove_reader(self.bound.fileno())
        self.bound.close()
        for connection in list(self._silent):
            self._forget(connection)
            connection.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _peer = self.bound.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as why:
                _log.error("No connection can be accepted: {why}", why=str(why))
                self.loop.remove_reader(self.bound.fileno())
                self._pause = self.loop.call_later(PAUSE, self.start)
                return
            connection.setblocking(False)
            if len(self._silent) >= self.most_silent:
                self._give_up(next(iter(self._silent)))
            self._silent[connection] = self.loop.call_later(HANDSHAKE_TIMEOUT, self._give_up, connection)
            self.loop.add_reader(connection.fileno(), self._look, connection)

    def _forget(self, connection: socket.socket) -> None:
        self._silent.pop(connection).cancel()
        self.loop.remove_reader(connection.fileno())

    def _give_up(self, connection: socket.socket) -> None:
        self._forget(connection)
        connection.close()

    def _look(self, connection: socket.socket) -> None:
        """Look at the first byte, which stays in the socket."""
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        self._forget(connection)
        if not first:
            connection.close()
            return
        if first == HANDSHAKE_BYTE:
            begun = self.loop.connect_accepted_socket(
                self.make_protocol, connection, ssl=self.context, ssl_handshake_timeout=HANDSHAKE_TIMEOUT
            )
        else:
            begun = self.loop.connect_accepted_socket(self._refusing, connection)
        task = self.loop.create_task(begun)
        self._beginning.add(task)
        task.add_done_callback(self._begun)

    def _refusing(self) -> asyncio.BaseProtocol:
        return Refusing(self.loop, self.refusal)

    def _begun(self, task: asyncio.Task[object]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.debug("No TLS with a client: {why}", why=str(task.exception()))


class Refusing(asyncio.Protocol):
    """
    Sends one answer, and reads what still comes until the client has closed.

    A close with unread bytes in the socket would reset the connection, and the answer would be lost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: bytes) -> None:
        self._loop = loop
        self._answer = answer
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the answer, whatever was asked."""
        # uvloop's transports are no subclasses of asyncio's.
        stream = cast(asyncio.Transport, transport)
        stream.write(self._answer)
        stream.write_eof()
        self._timer = self._loop.call_later(LINGER, stream.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
