"""An agent, between a server and a worker that the test plays."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.ray.node import MOST_UNSENT, Agent
from modelserver.backends.ray.node_link import SIGN_EVERY, ServerLink
from modelserver.backends.ray.node_order import NodeOrder
from modelserver.protocol import frames
from modelserver.protocol.frames import Frame


class FakeStream:
    """A connection of which the test says how much waits on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.backlog = 0
        self.written: list[bytes] = []

    @property
    def has_backlog(self) -> bool:
        """Whether something waits."""
        return bool(self.backlog)

    def outlast(self, silence: float) -> None: ...
    def flush(self) -> None: ...

    def write(self, pieces: list[bytes]) -> None:
        """Keep what is said."""
        self.written.append(b"".join(pieces))


class QuietLink(ServerLink):
    """A server that says nothing."""

    def receive(self) -> Iterator[Frame]:
        """Nothing is here."""
        return iter(())


class AgentTests(SynchronousTestCase):
    """One agent, whose worker's output is a pipe of the test."""

    def setUp(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.stream = FakeStream(ours)
        self.link = QuietLink(self.stream)  # type: ignore[arg-type]  # all of a stream that is used
        order = NodeOrder(("192.0.2.1", 1), "", b"", 1000.0, "cache", 1)
        self.agent = Agent(order, self.link, None)
        self.agent._watch(ours, self.agent._hear)
        reading, self.writing = os.pipe()
        os.set_blocking(reading, False)
        self.agent._outputs[reading] = 1
        self.agent._watch(reading, partial(self.agent._take_output, reading))
        self.addCleanup(os.close, reading)
        self.addCleanup(os.close, self.writing)

    def turn(self) -> list[bytes]:
        """What the agent says in one turn; something that wakes it is here, beside the output."""
        self.stream.written.clear()
        reading, writing = os.pipe()
        os.write(writing, b"x")
        self.agent._watch(reading, lambda: os.read(reading, 1))
        self.agent._turn()
        self.agent._watch_no_more(reading)
        os.close(reading)
        os.close(writing)
        return self.stream.written

    def test_worker_that_prints_waits_for_the_network(self) -> None:
        os.write(self.writing, b"a line\n")
        self.stream.backlog = MOST_UNSENT + 1
        self.assertEqual([], self.turn())
        self.stream.backlog = 0
        (said,) = self.turn()
        self.assertTrue(said.endswith(b"a line\n"))

    def test_output_that_has_ended_in_the_same_turn_is_not_read_again(self) -> None:
        take, (reading, writing), (first, waking) = self.agent._take_output, os.pipe(), os.pipe()
        self.addCleanup(os.close, first)
        self.addCleanup(os.close, waking)
        self.agent._outputs[reading] = 2
        self.agent._watch(reading, partial(take, reading))
        self.agent._watch(first, lambda: take(reading))  # as at the worker's end
        os.write(waking, b"x")
        os.close(writing)
        self.assertTrue(self.agent._turn())
        self.assertNotIn(reading, self.agent._outputs)


class SignOfLifeTests(SynchronousTestCase):
    """What a node says while much comes."""

    def setUp(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        self.stream = FakeStream(ours)
        self.link = ServerLink(self.stream)  # type: ignore[arg-type]  # all of a stream that is used
        self.begun = self.link.heard

    def test_node_that_hears_something_says_so(self) -> None:
        self.link.heard = self.begun + 0.1
        self.link.show_life(self.begun + SIGN_EVERY / 2)
        self.assertEqual([], self.stream.written)
        self.link.show_life(self.begun + SIGN_EVERY)
        (said,) = self.stream.written
        self.assertEqual(0, frames.HEADER.unpack_from(said)[-1])

    def test_node_that_hears_nothing_is_silent(self) -> None:
        self.link.show_life(self.begun + 10 * SIGN_EVERY)
        self.assertEqual([], self.stream.written)
