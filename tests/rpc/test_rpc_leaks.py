"""Ten thousand calls that end before their time leave nothing, neither in counters nor in memory."""

from __future__ import annotations

import gc
import random
from unittest import TestCase

import psutil

from modelserver.http1.body_memory import BodyMemory
from modelserver.rpc.codes import Code
from tests.harness.http2_client import message, raw_frame, raw_request
from tests.harness.http2_contract import RST_STREAM
from tests.harness.rpc import KeptMethod, RpcClient, RpcStage

DATA = 0
CALLS = 10_000
AT_ONCE = 50
MOST_GROWTH = 2 << 20
CANCEL = b"\0\0\0\x08"
TIMEOUT = b"\x00\x0cgrpc-timeout"


def with_timeout(stream: int, path: bytes, value: bytes) -> bytes:
    """The fields of a request with a time limit."""
    block = raw_request(stream, path)[9:]
    return raw_frame(1, 4, stream, block + TIMEOUT + bytes([len(value)]) + value)


class LeakTests(TestCase):
    """One connection, whose calls end in all kinds of ways."""

    def setUp(self) -> None:
        self.stage = RpcStage(memory=BodyMemory(1 << 30))
        self.client = self.stage.connect()
        self.chance = random.Random(14)
        self.next = 1

    def forget(self, *methods: KeptMethod) -> None:
        """Drop what the methods have kept, as real ones do."""
        for method in methods:
            for kept in (method.calls, method.messages, method.cancelled):
                kept.clear()
        self.stage.site.over.clear()
        self.stage.site.seconds.clear()

    def send(self, *frames: bytes) -> None:
        """Send, and throw away what comes back."""
        self.client.connection.dataReceived(b"".join(frames))
        while self.stage.soon:
            self.stage.turn()
        self.client.transport.clear()

    def cancel_some(self) -> None:
        """Calls of all kinds, each given up at a random point."""
        site, frames = self.stage.site, []
        for _ in range(AT_ONCE):
            stream, self.next = self.next, self.next + 2
            body = message(bytes(self.chance.choice((0, 10, 5000))))
            path = self.chance.choice((b"Keep", b"Talk", b"Hear", b"Echo"))
            cut = self.chance.randrange(len(body) + 1)
            steps = [
                with_timeout(stream, b"/test.Service/" + path, b"60S"),
                raw_frame(DATA, 0, stream, body[:cut]),
                raw_frame(DATA, self.chance.choice((0, 1)), stream, body[cut:]),
            ]
            frames += [*steps[: self.chance.randrange(1, 4)], raw_frame(RST_STREAM, 0, stream, CANCEL)]
        cut = self.chance.randrange(len(frames))
        self.send(*frames[:cut])
        for call in site.keep.calls + site.hear.calls:
            if self.chance.random() < 0.5:
                call.send(bytes(100))
        self.send(*frames[cut:])
        self.assertTrue(all(call.is_over for call in site.keep.calls + site.hear.calls + site.talk.calls))
        self.stage.clock.advance(0.1)
        self.forget(site.keep, site.talk, site.hear, site.echo)

    def let_some_expire(self) -> None:
        """Calls whose time is over before they are answered."""
        site = self.stage.site
        for _ in range(AT_ONCE):
            stream, self.next = self.next, self.next + 2
            body = message(bytes(self.chance.choice((0, 10, 5000))))
            self.send(
                with_timeout(stream, b"/test.Service/Keep", b"%dm" % self.chance.randrange(1, 200)),
                raw_frame(DATA, 1, stream, body),
            )
        self.stage.advance(0.3)
        self.client.transport.clear()
        self.assertEqual([Code.DEADLINE_EXCEEDED] * AT_ONCE, site.keep.cancelled)
        self.forget(site.keep)

    def assert_nothing_grows(self, client: RpcClient) -> None:
        """Run both, at first to warm up, and then for the count."""
        process = psutil.Process()

        def run(calls: int) -> int:
            for _ in range(calls // AT_ONCE):
                self.cancel_some()
                self.let_some_expire()
            gc.collect()
            return process.memory_info().rss

        before = run(2000)
        growth = run(CALLS) - before
        self.assertLess(growth, MOST_GROWTH)
        self.assertEqual({}, client.connection.reception.calls)
        self.assertEqual({}, client.connection.reception.half)
        self.assertEqual((0, 0), (self.stage.memory.used, client.connection.unsent))
        self.assertEqual(0, len(self.stage.factory.listener.deadlines))
        self.assertFalse(client.is_ended)

    def test_calls_that_are_cancelled_or_expire_leave_nothing(self) -> None:
        self.assert_nothing_grows(self.client)
        self.assertEqual([b"after"], self.stage.connect().ask("Echo", b"after").messages)
