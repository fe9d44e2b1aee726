"""Calls with large and small bodies at a time, cut by the network wherever it likes."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker
from modelserver.rpc.large_message import LARGE
from tests.harness.http2_client import message
from tests.harness.intake import slots_of
from tests.harness.rpc import RpcStage
from tests.harness.transports import FillingTransport, MemoryTransport

FRAMES = st.sampled_from((16_384, 40_000, 100_000, 1 << 20))
SIZES = st.sampled_from((0, 100, 20_000, LARGE - 1, LARGE, LARGE + 70_001))


class CutAnywhereTests(SynchronousTestCase):
    """Several calls at a time, their frames mixed, and cut by the network wherever it likes."""

    def deliver(self, engine: EngineMaker, sizes: list[int], cuts: list[int], says: bool, frame: int) -> None:
        """Send one call of each size, a frame of each in turn."""
        for made in (MemoryTransport, FillingTransport):
            stage = RpcStage(engine, slots=slots_of(2 * LARGE), make_transport=made)
            self.deliver_by(stage, sizes, cuts, says, frame)

    def deliver_by(self, stage: RpcStage, sizes: list[int], cuts: list[int], says: bool, frame: int) -> None:
        """Do so on one kind of transport."""
        client = stage.connect()
        bodies = [bytes([place]) * size for place, size in enumerate(sizes)]
        rest = {}
        for body in map(message, bodies):
            more = [(b"content-length", b"%d" % len(body))] if says else []
            rest[client.http2.request("Echo", more=more)] = body
        while rest:
            for stream, left in list(rest.items()):
                client.http2.data(stream, left[:frame], len(left) <= frame)
                rest[stream] = left[frame:]
                if len(left) <= frame:
                    del rest[stream]
            sent, at, turn = client.http2.output(), 0, 0
            while at < len(sent):
                size = cuts[turn % len(cuts)]
                client.deliver(sent[at : at + size])
                at, turn = at + size, turn + 1
                stage.turn()
            client.pump()
        self.assertEqual(sorted(bodies), sorted(stage.site.echo.messages))
        self.assertEqual([], stage.site.failures)
        answered = [each for each in client.http2.answers.values() if each.status == 0]
        self.assertEqual(sorted(bodies), sorted(each.messages[0] for each in answered))
        self.assertEqual({}, client.connection.reception.calls)

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(SIZES, min_size=1, max_size=3),
        st.lists(st.sampled_from((1500, 9, 16_393, 50_001, 262_144)), min_size=1, max_size=4),
        st.booleans(),
        FRAMES,
    )
    def test_ngh2(self, sizes: list[int], cuts: list[int], says: bool, frame: int) -> None:
        self.deliver(Ngh2Engine, sizes, cuts, says, frame)

    @settings(max_examples=10, deadline=None)
    @given(
        st.lists(SIZES, min_size=1, max_size=3),
        st.lists(st.sampled_from((1500, 7000, 16_393, 262_144)), min_size=1, max_size=4),
        st.booleans(),
        FRAMES,
    )
    def test_h2(self, sizes: list[int], cuts: list[int], says: bool, frame: int) -> None:
        self.deliver(H2Engine, sizes, cuts, says, frame)
