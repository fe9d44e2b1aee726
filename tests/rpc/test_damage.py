"""Damaged bytes of honest clients: nothing escapes, nothing is left, and others are served."""

from __future__ import annotations

import random
from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker
from tests.harness.http2_client import Http2Client, message
from tests.harness.rpc import RpcStage

PREFACE = 24
METHODS = ("Echo", "Keep", "Talk", "Hear", "Nope")


def record(chance: random.Random) -> bytes:
    """What an honest client sends: a few calls, some of them in pieces, given up, or never ended."""
    client = Http2Client()
    client.connection.update_settings({4: 1 << 20})
    sent = [client.output()]
    for _ in range(8):
        body = message(chance.randbytes(chance.choice((0, 1, 100, 3000, 7000))))
        stream = client.request(chance.choice(METHODS), more=[(b"x-a-bin", b"AAE"), (b"grpc-timeout", b"1S")])
        cut = chance.randrange(len(body))
        client.data(stream, body[:cut])
        kind = chance.random()
        if kind < 0.7:
            client.data(stream, body[cut:], True)
        elif kind < 0.85:
            client.connection.reset_stream(stream, 8)
        else:
            client.connection.ping(b"12345678")
        sent.append(client.output())
    return b"".join(sent)


def damage(data: bytes, chance: random.Random) -> bytes:
    """The same with some bytes changed, lost, added or repeated."""
    harmed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5, 20))):
        kind, at = chance.random(), chance.randrange(PREFACE, len(harmed))
        if kind < 0.5:
            harmed[at] = chance.randrange(256)
        elif kind < 0.7:
            del harmed[at : at + chance.choice((1, 3, 9))]
        elif kind < 0.85:
            harmed[at:at] = chance.randbytes(chance.choice((1, 4, 9)))
        else:
            start = chance.randrange(PREFACE, len(harmed))
            harmed[at:at] = harmed[start : start + chance.choice((9, 60, 300))]
    return bytes(harmed)


class DamageContract(TestCase):
    """The same for each engine."""

    __test__ = False

    @staticmethod
    def maker() -> EngineMaker:
        """The engine; subclasses say which."""
        raise NotImplementedError

    def survive(self, seed: int) -> None:
        """One damaged client, and one that is honest."""
        chance = random.Random(seed)
        stage = RpcStage(make_engine=self.maker())
        honest, harmed = stage.connect(), stage.connect()
        data = damage(record(chance), chance)[len(Http2Client().output()) :]
        at = 0
        while at < len(data) and not harmed.is_ended:
            size = chance.choice((1, 50, 1000, 20_000))
            harmed.connection.dataReceived(data[at : at + size])
            at += size
            stage.turn()
            if chance.random() < 0.3:
                for call in stage.site.keep.calls:
                    call.reply(b"late")
        stage.advance(2.0)
        self.assertEqual([b"still"], honest.ask("Echo", b"still").messages)
        harmed.leave()
        stage.advance(1.0)
        self.assertEqual([], [failure.getTraceback() for failure in stage.site.failures])
        self.assertEqual((0, 0), (stage.memory.used, len(stage.factory.listener.deadlines)))
        begun = len(stage.site.keep.calls) + len(stage.site.hear.calls)
        self.assertTrue(all(call.is_over for call in stage.site.keep.calls + stage.site.hear.calls))
        self.assertLessEqual(len(stage.site.keep.cancelled) + len(stage.site.hear.cancelled), begun)


class Ngh2DamageTests(DamageContract):
    """With ngh2."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return Ngh2Engine

    @settings(max_examples=150, deadline=None)
    @given(st.integers(0, 1 << 32))
    def test_nothing_escapes(self, seed: int) -> None:
        self.survive(seed)


class H2DamageTests(DamageContract):
    """With h2."""

    __test__ = True

    @staticmethod
    def maker() -> EngineMaker:
        """This one."""
        return H2Engine

    @settings(max_examples=50, deadline=None)
    @given(st.integers(0, 1 << 32))
    def test_nothing_escapes(self, seed: int) -> None:
        self.survive(seed)
