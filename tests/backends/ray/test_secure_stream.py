"""What a connection of a node asks of the kernel."""

from __future__ import annotations

import socket
import ssl

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.secure_stream import SecureStream

LONGEST_PAUSE = 44


def stream_on(connection: socket.socket) -> SecureStream:
    """A stream that has said nothing yet."""
    return SecureStream(connection, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), server_side=False)


class OutlastTests(SynchronousTestCase):
    """A connection that is to live through cuts."""

    def option(self, connection: socket.socket, number: int) -> int:
        """What the kernel has for an option of TCP."""
        return connection.getsockopt(socket.IPPROTO_TCP, number)

    def test_kernel_gives_up_after_us(self) -> None:
        with socket.socket() as connection:
            stream_on(connection).outlast(15.0)
            self.assertEqual(20_000, self.option(connection, socket.TCP_USER_TIMEOUT))

    def test_fifteen_tries_take_longer_than_the_silence(self) -> None:
        for silence, pause in ((1.0, 1000), (15.0, 2000), (90.0, 9500), (1e9, 120_000)):
            with self.subTest(silence), socket.socket() as connection:
                try:
                    self.option(connection, LONGEST_PAUSE)
                except OSError:
                    self.skipTest("this kernel has no longest pause (Linux 6.15 has)")
                stream_on(connection).outlast(silence)
                self.assertEqual(pause, self.option(connection, LONGEST_PAUSE))

    def test_other_sockets_are_left_alone(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            stream_on(ours).outlast(15.0)

    def test_silence_without_end_is_the_longest_that_the_kernel_takes(self) -> None:
        with socket.socket() as connection:
            stream_on(connection).outlast(1e9)
            self.assertEqual((1 << 31) - 1, self.option(connection, socket.TCP_USER_TIMEOUT))
