"""Listening sockets: bound first, so that a port in use stops the start."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable
from functools import partial
from typing import cast

from attrs import evolve, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ServerFactory

from modelserver.config.address import Address
from modelserver.http1.asyncio_transport import HEAD_ROOM, LoopTransport
from modelserver.language.attributes import define
from modelserver.server.inherited import InheritedSockets
from modelserver.server.tls.acceptor import TlsAcceptor
from modelserver.server.tls.material import Tls

BACKLOG = 1024
LONGEST_PATH = 107
"""Of ``sun_path``, in Linux."""
_ELSEWHERE = "The configuration says where this server listens: inference_address and its like."
_REMEDY = {
    errno.EADDRINUSE: f"End what listens there, or choose another port. {_ELSEWHERE}",
    errno.EACCES: f"Ports below 1024 are for root and for processes with CAP_NET_BIND_SERVICE. {_ELSEWHERE}",
    errno.EADDRNOTAVAIL: f"It is no address of this machine. {_ELSEWHERE}",
}
"""What can be done about a refusal."""


def bind(address: Address) -> socket.socket:
    """
    Return a socket that listens on an address.

    :raises OSError: the address is in use, or not this machine's; its text has the address.
    """
    if address.scheme == "unix":
        _remove_stale(address.unix_path)
        unix = socket.socket(socket.AF_UNIX)
        try:
            unix.bind(address.unix_path)
        except OSError as why:
            unix.close()
            # Of a path that is too long for a socket's address, Python tells neither.
            reason = why.strerror or f"the path of a Unix socket may have {LONGEST_PATH} bytes"
            raise OSError(why.errno or errno.ENAMETOOLONG, reason, address.unix_path) from why
        unix.listen(BACKLOG)
        return unix
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=BACKLOG)
    except OSError as why:
        number = why.errno or 0
        # Python's own text ends in the address, without the scheme.
        reason = str(why.strerror) if isinstance(why, socket.gaierror) else os.strerror(number)
        raise OSError(number, f"{address}: {reason}. {_REMEDY.get(number, _ELSEWHERE)}") from why


def _remove_stale(path: str) -> None:
    """Remove a socket file that no process listens on: a killed server has left it."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)


@define(eq=False)
class AddressListener(Service):
    """
    Listens on one address: with our transports on asyncio's loop, elsewhere with the reactor's.

    :param make_factory: makes the factory of protocols; called once, when the service starts.
    :param loop: asyncio's loop under the reactor, or None.
    :param reactor: reads sockets where there is no such loop.
    :param tls: the TLS context of ``https:`` addresses, else None.
    :param inherited: sockets that are bound already, or None.
    """

    address: Address
    make_factory: Callable[[], ServerFactory]
    loop: asyncio.AbstractEventLoop | None
    reactor: PosixReactorBase
    tls: Tls | None = None
    inherited: InheritedSockets | None = None
    bound: Address = field(init=False)
    """The address with the port that the system has chosen, where it was left to it."""
    _socket: socket.socket | None = field(default=None, init=False)
    _is_inherited: bool = field(default=False, init=False)
    _server: asyncio.Server | TlsAcceptor | None = field(default=None, init=False)
    _kept: socket.socket | None = field(default=None, init=False)
    _head_room: memoryview = field(factory=lambda: memoryview(bytearray(HEAD_ROOM)), init=False)
    _last: set[asyncio.Task[object]] = field(factory=set, init=False)
    _port: IListeningPort | None = field(default=None, init=False)
    _factory: ServerFactory | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.bound = self.address

    def privilegedStartService(self) -> None:
        """
        Bind the address, unless somebody has done it for this process.

        :raises OSError: the address is in use, or not this machine's.
        :raises SocketUnwanted: somebody has bound its port for this process, at another interface.
        """
        given = None if self.inherited is None else self.inherited.take(self.address)
        self._is_inherited = given is not None
        try:
            self._socket = given or bind(self.address)
        except OSError:
            if self.inherited is not None:
                self.inherited.require_none(self.address.port)
            raise
        self._socket.setblocking(False)
        if self.address.scheme != "unix":
            self.bound = evolve(self.address, port=self._socket.getsockname()[1])

    def startService(self) -> None:
        """Accept connections."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        if self._socket is None:
            self.privilegedStartService()
        factory = self._factory = self.make_factory()
        bound = self._socket
        assert bound is not None
        if self.loop is None:
            if self.tls is not None:
                # It loads Twisted's TLS, which listeners on asyncio's loop do without.
                from modelserver.server.tls.first_byte import FirstByteFactory

                # Twisted types a factory by its protocol's factory; its own wrappers do not fit, either.
                factory = cast(ServerFactory, FirstByteFactory(factory, self.tls, self.reactor))
            self._port = self.reactor.adoptStreamPort(bound.fileno(), bound.family, factory)  # type: ignore[no-untyped-call]  # Twisted's
            bound.close()
            return
        factory.doStart()  # type: ignore[no-untyped-call]  # Twisted's
        if self.tls is not None:
            tls = self.tls
            self._server = TlsAcceptor(
                self.loop, bound, tls.context, partial(LoopTransport, factory, self._head_room), tls.refusal
            )
            self._server.start()
            return
        # The loop closes its own; connections that nobody has accepted by then would be reset with it.
        self._kept = bound.dup()
        serving = self.loop.create_task(
            self.loop.create_server(
                partial(LoopTransport, factory, self._head_room), sock=bound, backlog=BACKLOG
            )
        )
        serving.add_done_callback(self._serving)

    def _serving(self, task: asyncio.Task[asyncio.Server]) -> None:
        self._server = task.result()
        if not self.running:
            self._server.close()

    def _accept_the_last(self) -> None:
        """Let in who has connected, and then nobody any more."""
        kept, self._kept = self._kept, None
        if kept is None or self.loop is None:
            return
        factory = self._factory
        assert factory is not None  # it is made with the socket
        with kept:
            kept.setblocking(False)
            for _ in range(BACKLOG):
                try:
                    connection, _ = kept.accept()
                except OSError:  # there is none, or no descriptor for it
                    return
                connection.setblocking(False)
                accepted = self.loop.connect_accepted_socket(
                    partial(LoopTransport, factory, self._head_room), connection
                )
                task = self.loop.create_task(accepted)
                self._last.add(task)
                task.add_done_callback(self._last.discard)

    def stopService(self) -> Deferred[None] | None:
        """Accept no more connections; open ones stay."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        if self._server is not None:
            self._server.close()
        self._accept_the_last()
        if self._factory is not None and self.loop is not None:
            self._factory.doStop()  # type: ignore[no-untyped-call]  # Twisted's
        if self._port is not None:
            return self._port.stopListening()  # which removes the file of a Unix socket, too
        if self._is_inherited:
            return None  # the file stays for the next server
        if self.address.scheme == "unix" and os.path.exists(self.address.unix_path):
            os.unlink(self.address.unix_path)
        return None
