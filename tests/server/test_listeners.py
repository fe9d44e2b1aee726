"""Listening sockets: bound at once, on TCP and Unix addresses, and closed without a trace."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory, Protocol, ServerFactory
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from modelserver.config.address import Address
from modelserver.server.listeners import AddressListener, bind

LONGEST = 30.0
"""Seconds after which a read has failed."""


class Greeter(Protocol):
    """Says hello, and who it is."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")
        self.transport.loseConnection()


def tcp(port: int = 0) -> Address:
    """A loopback address."""
    return Address("http", "127.0.0.1", port)


def read_all(address: Any) -> bytes:
    """What a client is told; in a thread."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family) as client:
        client.settimeout(LONGEST)
        client.connect(address)
        data = b""
        while piece := client.recv(100):
            data += piece
        return data


class BindTests(TestCase):
    """``bind``."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "socket")
        self.unix = Address("unix", unix_path=self.path)

    def bound(self, address: Address) -> socket.socket:
        found = bind(address)
        self.addCleanup(found.close)
        return found

    def test_port_in_use_is_an_error_at_once(self) -> None:
        port = self.bound(tcp()).getsockname()[1]
        error = self.assertRaises(OSError, bind, tcp(port))
        self.assertIn(f"{port}", str(error))

    def test_address_of_another_machine_is_an_error(self) -> None:
        self.assertRaises(OSError, bind, Address("http", "192.0.2.1", 0))

    def test_refusals_name_the_address_and_a_remedy(self) -> None:
        port = self.bound(tcp()).getsockname()[1]
        for address, said in (
            (tcp(port), f"http://127.0.0.1:{port}: Address already in use. End what listens there"),
            (Address("grpc", "192.0.2.1", 7), "grpc://192.0.2.1:7: .*no address of this machine"),
            (Address("http", "no.invalid", 7), r"http://no\.invalid:7: .*inference_address"),
        ):
            self.assertRegex(str(self.assertRaises(OSError, bind, address)), said)

    def test_ipv6(self) -> None:
        if not socket.has_ipv6:
            self.skipTest("no IPv6 here")
        try:
            found = self.bound(Address("http", "::1", 0))
        except OSError:
            self.skipTest("no IPv6 loopback here")
        self.assertEqual(socket.AF_INET6, found.family)

    def test_socket_file_of_a_killed_server_is_replaced(self) -> None:
        self.bound(self.unix).close()
        self.assertTrue(os.path.exists(self.path))
        self.bound(self.unix)
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path).st_mode))

    def test_socket_file_of_a_living_server_is_left(self) -> None:
        self.bound(self.unix)
        error = self.assertRaises(OSError, bind, self.unix)
        self.assertIn(self.path, str(error))

    def test_path_that_is_too_long_is_told_with_the_limit(self) -> None:
        error = self.assertRaises(OSError, bind, Address("unix", unix_path=f"/tmp/{'x' * 120}"))
        self.assertIn("107 bytes: '/tmp/xxx", str(error))

    def test_other_file_is_left(self) -> None:
        Path(self.path).write_text("precious")
        self.assertRaises(OSError, bind, self.unix)
        self.assertEqual("precious", Path(self.path).read_text())


class ReactorListenerTests(TestCase):
    """A listener on the reactor's own transports."""

    timeout = LONGEST

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "socket")

    def listener(self, address: Address) -> AddressListener:
        factory = Factory.forProtocol(Greeter)
        factory.noisy = False
        installed: Any = reactor
        listener = AddressListener(address, lambda: cast(ServerFactory, factory), None, installed)
        self.addCleanup(lambda: maybeDeferred(listener.stopService) if listener.running else None)
        return listener

    def port_of(self, listener: AddressListener) -> tuple[str, int]:
        """Where it listens: at a port that the system has chosen."""
        listener.startService()
        return listener.bound.host, listener.bound.port

    def told(self, address: object) -> Deferred[bytes]:
        return deferToThread(read_all, address)

    async def test_it_accepts_until_it_is_stopped(self) -> None:
        listener = self.listener(tcp())
        address = self.port_of(listener)
        self.assertEqual(b"hello", await self.told(address))
        stopped = listener.stopService()
        if stopped is not None:
            await stopped
        await self.assertFailure(self.told(address), OSError)

    async def test_socket_file_goes_with_the_server(self) -> None:
        listener = self.listener(Address("unix", unix_path=self.path))
        listener.startService()
        self.assertEqual(b"hello", await self.told(self.path))
        stopped = listener.stopService()
        if stopped is not None:
            await stopped
        self.assertFalse(os.path.exists(self.path))

    def test_port_in_use_stops_the_start(self) -> None:
        taken = bind(tcp())
        self.addCleanup(taken.close)
        listener = self.listener(tcp(taken.getsockname()[1]))
        self.assertRaises(OSError, listener.privilegedStartService)
