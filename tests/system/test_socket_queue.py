"""What the kernel holds for the other end of a socket."""

from __future__ import annotations

import os
import socket
from unittest import TestCase

from modelserver.system.socket_queue import on_their_way


class SocketQueueTests(TestCase):
    """Two ends of one connection."""

    def test_it_grows_with_what_is_written_and_ends_with_what_is_read(self) -> None:
        here, there = socket.socketpair()
        with here, there:
            self.assertEqual(0, on_their_way(here.fileno()))
            here.sendall(b"x" * 10_000)
            self.assertGreaterEqual(on_their_way(here.fileno()), 10_000)
            there.recv(20_000)
            self.assertEqual(0, on_their_way(here.fileno()))

    def test_what_is_closed_or_no_socket_has_nothing(self) -> None:
        here, there = socket.socketpair()
        here.close()
        there.close()
        self.assertEqual(0, on_their_way(here.fileno()))
        with open(os.devnull) as file:
            self.assertEqual(0, on_their_way(file.fileno()))
