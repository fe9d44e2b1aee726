"""Large bodies on the loops' own transports: received where they are used, with heads between them."""

from __future__ import annotations

import asyncio
import socket
from unittest import skipIf

from attrs import define, field

from modelserver.http1.asyncio_transport import HEAD_ROOM
from tests.harness.event_loops import uvloop
from tests.harness.loop_transports import Factory, LoopTransportCase, Recorder, transport_of


@define(eq=False)
class Bucket:
    """A sink of a fixed size."""

    size: int
    content: bytearray = field(init=False)
    got: int = field(default=0, init=False)
    is_full: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.content = bytearray(self.size)

    def room(self) -> memoryview:
        return memoryview(self.content)[self.got :]

    def filled(self, size: int) -> bool:
        self.got += size
        return self.got < self.size

    def body_completed(self) -> None:
        self.is_full = True


class LargeBodiesContract(LoopTransportCase):
    """What every loop's transport does with bodies for which there is a sink."""

    __test__ = False

    def test_sink_gets_its_bytes_and_the_protocol_the_rest(self) -> None:
        for size in (1, 100, 1_000_000):
            bucket = Bucket(size)
            self.protocol.received = b""
            self.transport.fill(bucket)
            data = bytes(place % 251 for place in range(size)) + b"rest"
            self.run_loop(self.loop.sock_sendall(self.client, data))
            self.until(lambda: self.protocol.received == b"rest")
            self.assertTrue(bucket.is_full)
            self.assertEqual(data[:size], bytes(bucket.content))

    def test_behind_a_sink_only_a_little_is_read_until_another_one_is_there(self) -> None:
        sizes: list[int] = []
        second = Bucket(200_000)

        def begin(data: bytes) -> None:
            sizes.append(len(data))
            if len(sizes) == 1:
                second.content[: len(data)] = data
                second.got = len(data)
                self.transport.fill(second)

        self.protocol.on_data = begin
        self.transport.fill(Bucket(100_000))
        data = bytes(place % 251 for place in range(200_000))
        self.run_loop(self.loop.sock_sendall(self.client, bytes(100_000) + data + b"rest"))
        self.until(lambda: sizes == [HEAD_ROOM, 4])
        self.assertEqual(data, bytes(second.content))

    def check_bodies_with_heads_between(self, protocol: Recorder) -> None:
        """Send bodies that are each announced by a head, byte by byte told apart, and a small request."""
        buckets = [Bucket(size) for size in (70_000, 1, 300_000, 16_384)]
        coming = iter(buckets)
        heads: list[bytes] = []

        def begin(data: bytes) -> None:
            # A head of four bytes, and what came with it of the body.
            heads.append(data[:4])
            bucket = next(coming, None)
            if bucket is not None:
                size = min(len(data) - 4, bucket.size - 1)
                bucket.content[:size] = data[4 : 4 + size]
                bucket.got = size
                transport_of(protocol).fill(bucket)

        protocol.on_data = begin
        for number, bucket in enumerate(buckets):
            body = bytes((place + number) % 251 for place in range(bucket.size))
            self.run_loop(self.loop.sock_sendall(self.client, b"head"))
            self.until(lambda number=number: len(heads) == number + 1)  # type: ignore[misc]
            self.run_loop(self.loop.sock_sendall(self.client, body))
            self.turn()
            self.assertTrue(bucket.is_full, number)
            self.assertEqual(body, bytes(bucket.content))
        self.run_loop(self.loop.sock_sendall(self.client, b"last"))
        self.until(lambda: len(heads) == 5)
        self.assertEqual([b"head"] * 4 + [b"last"], heads)

    def test_bodies_follow_each_other_with_heads_between(self) -> None:
        self.check_bodies_with_heads_between(self.protocol)

    def test_bodies_follow_each_other_where_heads_have_no_room_of_their_own(self) -> None:
        self.client.close()
        self.until(lambda: self.protocol.reasons)
        self.client, theirs = socket.socketpair()
        self.addCleanup(self.client.close)
        self.client.setblocking(False)
        self.head_room = None
        factory = Factory(self.change)
        self.accept(theirs, factory)
        self.check_bodies_with_heads_between(factory.built[0])

    def test_behind_the_head_of_a_small_request_all_is_read_again(self) -> None:
        self.transport.fill(Bucket(100))
        self.run_loop(self.loop.sock_sendall(self.client, bytes(100)))
        self.turn()
        sizes: list[int] = []
        self.protocol.on_data = lambda data: sizes.append(len(data))
        self.run_loop(self.loop.sock_sendall(self.client, b"small"))
        self.until(lambda: sizes)
        self.run_loop(self.loop.sock_sendall(self.client, bytes(100_000)))
        self.until(lambda: sum(sizes) == 100_005)
        self.assertGreater(max(sizes), HEAD_ROOM)

    def test_client_that_leaves_behind_a_sink_is_reported(self) -> None:
        self.transport.fill(Bucket(4))
        self.client.send(b"some")
        self.turn()
        self.client.close()
        self.until(lambda: self.protocol.reasons)

    def test_client_that_leaves_while_a_sink_is_filled_is_reported(self) -> None:
        self.transport.fill(Bucket(100))
        self.client.send(b"some")
        self.turn()
        self.client.close()
        self.until(lambda: self.protocol.reasons)


class AsyncioBodiesTests(LargeBodiesContract):
    """On asyncio's loop."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.SelectorEventLoop()


@skipIf(uvloop is None, "uvloop is not installed")
class UvloopBodiesTests(LargeBodiesContract):
    """On uvloop's."""

    __test__ = True

    def new_loop(self) -> asyncio.AbstractEventLoop:
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
