"""Sockets that somebody has bound for the server."""

from __future__ import annotations

import socket
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import cast

from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.address import Address
from modelserver.server.inherited import InheritedSockets, SocketUnwanted, passed_descriptors
from modelserver.server.listeners import AddressListener


class InheritedSocketsTests(SynchronousTestCase):
    """``InheritedSockets``."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "socket")

    def pass_on(self, *sockets: socket.socket) -> InheritedSockets:
        """Pass sockets on."""
        for each in sockets:
            each.set_inheritable(True)
        return InheritedSockets.adopt([each.detach() for each in sockets])

    def tcp(self, host: str = "127.0.0.1") -> tuple[socket.socket, int]:
        made = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        return made, made.getsockname()[1]

    def test_each_is_for_the_listener_at_its_address(self) -> None:
        unix = socket.socket(socket.AF_UNIX)
        unix.bind(self.path)
        unix.listen()
        first, port = self.tcp()
        found = self.pass_on(first, unix)
        self.assertIsNone(found.take(Address("http", "127.0.0.1", 1)))
        self.assertIsNone(found.take(Address("http", "0.0.0.0", port)))
        for address, name in (
            (Address("https", "localhost", port), ("127.0.0.1", port)),
            (Address("unix", unix_path=self.path), self.path),
        ):
            taken = found.take(address)
            assert taken is not None
            with taken:
                self.assertEqual(name, taken.getsockname())
                self.assertFalse(taken.get_inheritable())
            self.assertIsNone(found.take(address))
        found.require_none()

    def test_one_that_no_listener_wants_is_named(self) -> None:
        for host, shown in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
            made, port = self.tcp(host)
            found = self.pass_on(made)
            error = self.assertRaises(SocketUnwanted, found.require_none)
            self.assertIn(f" {shown}:{port},", str(error))

            taken = found.take(Address("http", host, port))
            assert taken is not None
            taken.close()

    def test_the_port_of_a_listener_at_another_interface(self) -> None:
        made, port = self.tcp()
        found = self.pass_on(made)
        found.require_none(port - 1)
        listener = AddressListener(
            Address("http", "0.0.0.0", port),
            ServerFactory,
            None,
            cast(PosixReactorBase, Clock()),
            inherited=found,
        )
        error = self.assertRaises(SocketUnwanted, listener.privilegedStartService)
        self.assertIn(f"127.0.0.1:{port}", str(error))

        taken = found.take(Address("http", "127.0.0.1", port))
        assert taken is not None
        taken.close()

    def test_what_clients_cannot_connect_to(self) -> None:
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        port = datagrams.getsockname()[1]
        error = self.assertRaises(SocketUnwanted, self.pass_on, datagrams)
        self.assertIn(f"127.0.0.1:{port}", str(error))
        with TemporaryFile() as file:
            error = self.assertRaises(SocketUnwanted, InheritedSockets.adopt, [file.fileno()])
            self.assertIn(f"descriptor {file.fileno()} ", str(error))

    def test_what_is_for_another_process_is_not_touched(self) -> None:
        environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b", "OTHER": "1"}
        self.assertEqual([], list(passed_descriptors(Clock(), environment)))
        self.assertEqual({"OTHER": "1"}, environment)
