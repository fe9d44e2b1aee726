"""The server's end of a worker's socket, over a real pair of sockets, on every kind of loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from itertools import pairwise
from unittest import TestCase, skipIf

import hypothesis.strategies as st
from attrs import define, field
from hypothesis import given, settings
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.selectreactor import SelectReactor

from modelserver.backends.event_loop import ReactorLoop
from modelserver.backends.frame_socket import FrameSocket, socket_pair
from modelserver.interfaces import EventLoop
from modelserver.jobs import Answer
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import ANSWER_ROW, pack_answers
from modelserver.protocol.frame_stream import FrameReader
from modelserver.protocol.frames import Frame, FrameError
from modelserver.testing.providers import make_job
from tests.harness.event_loops import uvloop

LONGEST = 2000
"""Turns of a loop after which a wait has failed."""


@define(eq=False)
class RecordingEvents:
    """Keeps what a link reports."""

    frames: list[tuple[int, int, bytes]] = field(factory=list)
    turns: int = 0
    problems: list[str | None] = field(factory=list)
    on_frame: Callable[[], object] = lambda: None

    def frame_arrived(self, frame: Frame) -> None:
        assert not self.problems, "a frame after the end"
        if frame.kind == frames.CREDIT:
            raise FrameError("a frame that nobody wants")
        self.frames.append((frame.kind, frame.number, bytes(frame.payload)))
        self.on_frame()

    def turn_ended(self) -> None:
        self.turns += 1

    def closed(self, problem: str | None) -> None:
        self.problems.append(problem)


class LinkContract(TestCase):
    """What a link does on any loop. ``turn`` runs the loop once, waiting for at most a moment."""

    __test__ = False

    def make_loop(self) -> EventLoop:
        raise NotImplementedError

    def turn(self) -> None:
        raise NotImplementedError

    def setUp(self) -> None:
        self.loop = self.make_loop()
        ours, self.theirs = socket_pair(1 << 16)
        self.addCleanup(self.theirs.close)
        self.addCleanup(ours.close)
        self.theirs.setblocking(False)
        self.events = RecordingEvents()
        self.link = FrameSocket(ours, self.loop, self.events, 1 << 24)
        self.addCleanup(self.link.close)
        self.link.open()

    def until(self, holds: Callable[[], object]) -> None:
        for _ in range(LONGEST):
            if holds():
                return
            self.turn()
        raise AssertionError("it never was")

    def read_batch(self) -> tuple[int, list[bytes]]:
        """What the worker reads next."""
        reader = FrameReader()
        seen: list[Frame] = []

        def look() -> bool:
            try:
                reader.fill(self.theirs)
            except BlockingIOError:
                pass
            frame = reader.next()
            if frame is not None:
                seen.append(frame)
            return bool(seen)

        self.until(look)
        return seen[0].number, [bytes(item.body) for item in frames.unpack_batch(seen[0], None)]

    def test_batches_leave_at_the_flush(self) -> None:
        self.link.send_batch(1, [make_job(b"a"), make_job(b"b")])
        self.turn()
        self.assertRaises(BlockingIOError, self.theirs.recv, 1)
        self.link.flush()
        self.assertEqual((1, [b"a", b"b"]), self.read_batch())

    def test_what_the_socket_does_not_take_leaves_later(self) -> None:
        bodies = [bytes([number]) * 700_000 for number in range(3)]
        self.link.send_batch(1, [make_job(body) for body in bodies])
        self.link.flush()
        self.link.send_batch(2, [make_job(b"behind")])
        self.link.flush()
        reader, got = FrameReader(), []

        def look() -> bool:
            try:
                reader.fill(self.theirs)
            except BlockingIOError:
                pass
            for frame in reader:
                got.append([bytes(item.body) for item in frames.unpack_batch(frame, None)])
            return len(got) == 2

        self.until(look)
        self.assertEqual([bodies, [b"behind"]], got)

    def test_frames_of_one_turn_are_reported_together(self) -> None:
        self.theirs.sendall(frames.pack_bare(frames.STARTED) + frames.pack_bare(frames.LOADED))
        self.until(lambda: self.events.turns)
        self.assertEqual([frames.STARTED, frames.LOADED], [kind for kind, _, _ in self.events.frames])
        self.assertEqual(1, self.events.turns)

    def test_end_of_the_stream_is_reported_once(self) -> None:
        self.theirs.sendall(frames.pack_bare(frames.STARTED))
        self.theirs.close()
        self.until(lambda: self.events.problems)
        for _ in range(5):
            self.turn()
        self.assertEqual([None], self.events.problems)
        self.assertEqual(1, len(self.events.frames))
        self.link.send_batch(1, [make_job(b"too late")])
        self.link.flush()
        self.link.close()

    def test_bytes_that_are_no_frame_end_the_link(self) -> None:
        for data in (b"\xff" * 16, frames.pack_bare(frames.CREDIT)):
            self.theirs.sendall(data)
            self.until(lambda: self.events.problems)
            self.assertIsNotNone(self.events.problems[0])
            self.setUp()

    def test_end_in_the_middle_of_a_frame_is_an_end(self) -> None:
        self.theirs.sendall(frames.pack_json(frames.LOADED, {"a": 1})[:-1])
        self.theirs.close()
        self.until(lambda: self.events.problems)
        self.assertEqual(([], [None]), (self.events.frames, self.events.problems))

    def test_link_closed_by_its_owner_reports_nothing_more(self) -> None:
        self.events.on_frame = self.link.close
        self.theirs.sendall(frames.pack_bare(frames.STARTED) * 3)
        self.until(lambda: self.events.frames)
        for _ in range(5):
            self.turn()
        self.assertEqual((1, 0, []), (len(self.events.frames), self.events.turns, self.events.problems))

    def test_drain_takes_what_an_ended_worker_had_written(self) -> None:
        for number in range(5):
            row = (0, Answer(200, b"", b"x" * 5000))
            self.theirs.sendall(b"".join(pack_answers(frames.ANSWERS, number, 1e-6, [row])))
        self.theirs.close()
        self.link.drain()
        self.assertEqual([0, 1, 2, 3, 4], [number for _, number, _ in self.events.frames])

    def test_worker_that_is_gone_fails_no_write(self) -> None:
        self.theirs.close()
        for number in range(5):
            self.link.send_batch(number, [make_job(b"x" * 100_000)])
            self.link.flush()
        self.until(lambda: self.events.problems)
        self.assertEqual([None], self.events.problems)

    def test_descriptors_go_along(self) -> None:
        with socket.socket() as given:
            self.link.send_with(frames.pack_bare(frames.FORK), [given.fileno()])
            data, descriptors, _, _ = socket.recv_fds(self.theirs, 100, 3)
        self.assertEqual(frames.pack_bare(frames.FORK), data)
        self.assertEqual(1, len(descriptors))
        socket.socket(fileno=descriptors[0]).close()

    def test_cut_of_the_stream_does_not_matter(self) -> None:
        bodies = st.lists(st.binary(max_size=300), min_size=1, max_size=6)

        @settings(max_examples=25, deadline=None)
        @given(bodies, st.lists(st.integers(0, 2000), max_size=6))
        def holds(bodies: list[bytes], cuts: list[int]) -> None:
            self.send_cut(bodies, cuts)

        holds()

    def send_cut(self, bodies: list[bytes], cuts: list[int]) -> None:
        """Send a frame for each body, the stream cut at these places."""
        self.events.frames.clear()
        data = b"".join(
            b"".join(pack_answers(frames.ANSWERS, number, 1e-6, [(0, Answer(200, b"", body))]))
            for number, body in enumerate(bodies)
        )
        places = sorted({0, *(cut % (len(data) + 1) for cut in cuts), len(data)})
        for start, end in pairwise(places):
            self.theirs.sendall(data[start:end])
            self.turn()
        self.until(lambda: len(self.events.frames) == len(bodies))
        self.assertEqual(list(range(len(bodies))), [number for _, number, _ in self.events.frames])
        self.assertEqual(bodies, [payload[ANSWER_ROW.size :] for _, _, payload in self.events.frames])


class AsyncioLinkTests(LinkContract):
    """On asyncio's loop."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()

    def make_loop(self) -> EventLoop:
        self.asyncio_loop = self.new_loop()
        self.addCleanup(self.asyncio_loop.close)
        return self.asyncio_loop

    def turn(self) -> None:
        async def due() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        self.asyncio_loop.run_until_complete(due())


@skipIf(uvloop is None, "uvloop is not installed")
class UvloopLinkTests(AsyncioLinkTests):
    """On uvloop's."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop


class EpollLinkTests(LinkContract):
    """On Twisted's epoll reactor."""

    __test__ = True
    kind = EPollReactor

    def make_loop(self) -> EventLoop:
        self.reactor = self.kind()
        self.addCleanup(self.close_reactor)
        return ReactorLoop(self.reactor, self.reactor)

    def close_reactor(self) -> None:
        for reader in self.reactor.removeAll():
            reader.connectionLost(None)

    def turn(self) -> None:
        self.reactor.runUntilCurrent()
        self.reactor.doIteration(0.001)


class SelectLinkTests(EpollLinkTests):
    """On Twisted's select reactor."""

    kind = SelectReactor


class ReactorLoopTests(TestCase):
    """What asyncio promises of its readers and writers."""

    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.loop = ReactorLoop(self.reactor, self.reactor)
        self.ours, self.theirs = socket.socketpair()
        for end in (self.ours, self.theirs):
            self.addCleanup(end.close)
        self.addCleanup(lambda: [reader.connectionLost(None) for reader in self.reactor.removeAll()])

    def turn(self) -> None:
        self.reactor.runUntilCurrent()
        self.reactor.doIteration(0.001)

    def test_call_soon_comes_in_the_next_turn(self) -> None:
        calls: list[int] = []
        self.loop.call_soon(lambda: calls.append(1))
        self.assertEqual([], calls)
        self.turn()
        self.assertEqual([1], calls)

    def test_reader_and_writer_of_one_descriptor_are_two(self) -> None:
        calls: list[str] = []
        fd = self.ours.fileno()
        self.loop.add_reader(fd, lambda: calls.append("read"))
        self.loop.add_writer(fd, lambda: calls.append("write"))
        self.turn()
        self.assertEqual({"write"}, set(calls))
        self.loop.remove_writer(fd)
        calls.clear()
        self.theirs.send(b"x")
        self.turn()
        self.assertEqual({"read"}, set(calls))
        self.loop.remove_reader(fd)
        calls.clear()
        self.turn()
        self.assertEqual([], calls)

    def test_descriptor_may_be_watched_again(self) -> None:
        calls: list[str] = []
        for name in ("first", "second"):
            self.loop.add_reader(self.ours.fileno(), lambda name=name: calls.append(name))  # type: ignore[misc]  # it has defaults
            self.theirs.send(b"x")
            self.turn()
            self.loop.remove_reader(self.ours.fileno())
        self.assertEqual(["first", "second"], calls)

    def test_callback_may_be_replaced(self) -> None:
        calls: list[str] = []
        for name in ("first", "second"):
            self.loop.add_reader(self.ours.fileno(), lambda name=name: calls.append(name))  # type: ignore[misc]  # it has defaults
        self.theirs.send(b"x")
        self.turn()
        self.assertEqual(["second"], calls)
