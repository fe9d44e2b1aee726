"""Bodies whose length their clients have said, and which end by padding or trailers, or wrongly."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import EngineMaker
from modelserver.rpc.large_message import LARGE
from tests.harness.http2_client import Answered, message, raw_frame
from tests.harness.rpc import RpcStage

BODY = bytes(range(256)) * (LARGE // 256 + 4)
HUGE = BODY * 5
"""More than the window of a stream."""
SLOTS, WHOLE = 3, 1 << 20
DATA, HEADERS, END, END_HEADERS, PADDED = 0, 1, 1, 4, 8
TRAILERS = b"\x00\x01x\x01y"
"""``x: y``, which goes into no table."""


class Ngh2OddEndsTests(SynchronousTestCase):
    """By libnghttp2."""

    @staticmethod
    def maker() -> EngineMaker:
        """The engine's class."""
        return Ngh2Engine

    def setUp(self) -> None:
        size = 2 * len(HUGE)
        self.slots = SharedMemoryPool(-1, size, memoryview(bytearray(SLOTS * size)))
        self.stage = RpcStage(make_engine=self.maker(), slots=self.slots)
        self.client = self.stage.connect()

    def ask(self, body: bytes, *ends: tuple[int, int, bytes], last: int = 100, cut: int = WHOLE) -> Answered:
        """
        Send a call whose last bytes do not come with the others, but with frames of the test's own.

        :param ends: of each, its kind, its flags and what is in it.
        :param last: how many bytes these are.
        :param cut: bytes of these frames that come at a time.
        """
        http2, framed = self.client.http2, message(body)
        stream = http2.request("Echo", more=[(b"content-length", b"%d" % len(framed))])
        first = framed[: len(framed) - last]
        for start in range(0, len(first), 50_000):
            http2.data(stream, first[start : start + 50_000])
            self.client.pump()
        sent = b"".join([raw_frame(kind, flags, stream, payload) for kind, flags, payload in ends])
        for start in range(0, len(sent), cut):
            self.client.send(sent[start : start + cut])
        return http2.answers[stream]

    def assert_answered(self, body: bytes, answer: Answered) -> None:
        """It is right, and nothing is left."""
        self.assertEqual(([body], 0, None), (answer.messages, answer.status, answer.reset))
        self.assertEqual(body, self.stage.site.echo.messages[-1])
        self.assertEqual(len(body) + 5, self.stage.site.over[-1][2])
        self.assert_nothing_is_left()

    def assert_nothing_is_left(self) -> None:
        """No call, no slot, no memory."""
        reception = self.client.connection.reception
        self.assertEqual(({}, {}, {}), (reception.calls, reception.half, reception.passing.calls))
        self.assertEqual((SLOTS, 0), (self.slots.free, self.stage.memory.used))

    def test_the_last_piece_may_be_padded(self) -> None:
        for body in (BODY, HUGE):
            for cut in (WHOLE, 5, 50):
                padded = b"\x07" + body[-100:] + bytes(7)
                self.assert_answered(body, self.ask(body, (DATA, END | PADDED, padded), cut=cut))

    def test_the_engine_may_have_missed_many_windows(self) -> None:
        body = bytes(1 << 22)
        self.slots = SharedMemoryPool(-1, 1 << 23, memoryview(bytearray(SLOTS << 23)))
        self.stage = RpcStage(make_engine=self.maker(), slots=self.slots)
        self.client = self.stage.connect()
        self.assert_answered(body, self.ask(body, (DATA, END | PADDED, b"\x07" + body[-100:] + bytes(7))))

    def test_the_end_may_be_nothing_but_padding(self) -> None:
        self.assert_answered(BODY, self.ask(BODY, (DATA, END | PADDED, b"\x03" + bytes(3)), last=0))

    def test_trailers_may_be_the_end(self) -> None:
        for cut in (WHOLE, 7):
            rest = (DATA, 0, BODY[-100:])
            ends = rest, (HEADERS, END | END_HEADERS, TRAILERS)
            self.assert_answered(BODY, self.ask(BODY, *ends, cut=cut))

    def test_a_length_that_is_wrong_after_all_is_refused(self) -> None:
        for rest in (b"too short", b"x" * 101):
            self.setUp()
            answer = self.ask(BODY, (DATA, END, rest))
            # h2 ends the whole connection for it.
            self.assertTrue(answer.reset is not None or self.client.http2.goaways)
            self.assertEqual([], self.stage.site.echo.messages)
            self.assert_nothing_is_left()

    def test_windows_are_as_they_were(self) -> None:
        for _ in range(80):  # 20 MB, where 16 MB may be on their way
            self.ask(BODY, (DATA, END | PADDED, b"\0" + BODY[-100:]))
        self.assertEqual(80, len(self.stage.site.echo.messages))
        self.assertGreater(self.client.http2.connection.outbound_flow_control_window, 4 << 20)
        self.assertLessEqual(self.client.http2.connection.outbound_flow_control_window, 20 << 20)
        self.assert_nothing_is_left()


class H2OddEndsTests(Ngh2OddEndsTests):
    """By h2."""

    @staticmethod
    def maker() -> EngineMaker:
        """The engine's class."""
        return H2Engine
