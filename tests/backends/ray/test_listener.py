"""Connections of nodes: how many there may be, and what is lacked to take them."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.listener import MOST_UNKNOWN, NodeListener


class ReadLoop:
    """An event loop that reads when it is told."""

    def __init__(self) -> None:
        self.readers: dict[int, Callable[[], object]] = {}

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Keep who wants to know."""
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        """Forget it."""
        self.readers.pop(fd, None)

    def add_writer(self, fd: int, callback: Callable[[], object]) -> None: ...
    def remove_writer(self, fd: int) -> None: ...
    def call_soon(self, callback: Callable[[], object]) -> None: ...


class Listening:
    """A socket on which connections wait, or cannot be taken."""

    def __init__(self) -> None:
        self.problem: int | None = None
        self.others: list[socket.socket] = []

    def fileno(self) -> int:
        """A number that no socket of this test has."""
        return 9999

    def accept(self) -> tuple[socket.socket, None]:
        """Give a connection."""
        if self.problem is not None:
            raise OSError(self.problem, os.strerror(self.problem))
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.others.append(theirs)
        return ours, None

    def close(self) -> None: ...


class ListenerTests(SynchronousTestCase):
    """A listener whose socket the test has."""

    def setUp(self) -> None:
        self.loop, self.clock, self.socket = ReadLoop(), Clock(), Listening()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.listener = NodeListener(context, self.loop, self.clock)
        self.listener._socket = self.socket  # type: ignore[assignment]  # all of a socket that is asked for
        self.loop.add_reader(9999, self.listener._accept)
        self.addCleanup(self.end)

    def end(self) -> None:
        """Close everything."""
        self.listener.close()
        for other in self.socket.others:
            other.close()

    def come(self) -> None:
        """Let the loop see that a connection waits."""
        self.loop.readers[9999]()

    def is_open(self, place: int) -> bool:
        """Whether one of the connections is."""
        try:
            return bool(self.socket.others[place].recv(1))
        except BlockingIOError:
            return True

    def test_those_who_hold_connections_keep_nobody_out(self) -> None:
        for _ in range(MOST_UNKNOWN + 1):
            self.come()
        states = [self.is_open(place) for place in range(MOST_UNKNOWN + 1)]
        self.assertEqual([False] + [True] * MOST_UNKNOWN, states)

    def test_nothing_is_accepted_for_a_while_when_descriptors_lack(self) -> None:
        self.socket.problem = errno.EMFILE
        self.come()
        self.assertNotIn(9999, self.loop.readers)
        self.socket.problem = None
        self.clock.advance(1.0)
        self.come()
        self.assertTrue(self.is_open(0))

    def test_connection_that_was_closed_before_is_passed_over(self) -> None:
        self.socket.problem = errno.ECONNABORTED
        self.come()
        self.assertIn(9999, self.loop.readers)

    def test_end_while_descriptors_lack_leaves_no_timer(self) -> None:
        self.socket.problem = errno.EMFILE
        self.come()
        self.listener.close()
        self.assertEqual([], self.clock.getDelayedCalls())
