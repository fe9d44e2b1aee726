"""Large answers go past the engine, within the client's windows, and everything is as if they had not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from unittest import TestCase

from attrs import define, field

from modelserver.jobs import SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.engines.h2 import H2Engine
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.http2 import FRAME, EngineMaker
from modelserver.rpc.interfaces import Call
from modelserver.rpc.outflow import LOW
from tests.harness.http2_client import message, raw_frame
from tests.harness.rpc import RpcClient, RpcStage
from tests.harness.transports import FillingTransport, MemoryTransport, TellingTransport

AHEAD = b"\x0a\x80"
BODY = bytes(range(251)) * 1000
SLOTS = 4
WINDOW = 1 << 20
WHOLE = message(AHEAD + BODY)


def body_sizes(data: bytes) -> list[int]:
    """Return the sizes of the frames of DATA among some frames."""
    found, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "big")
        if not data[at + 3]:
            found.append(size)
        at += 9 + size
    return found


@define(eq=False)
class EngineParts:
    """Counts what an engine is given to send."""

    make: EngineMaker
    sizes: list[int] = field(factory=list)

    def __call__(self, *args: object) -> object:
        """Make one."""
        engine = self.make(*args)  # type: ignore[arg-type]  # as it is asked
        part = engine.answer_part

        def count(stream: int, data: bytes) -> None:
            self.sizes.append(len(data))
            part(stream, data)

        engine.answer_part = count  # type: ignore[method-assign]  # what goes by it is what the test is about
        return engine


class OutflowContract(TestCase):
    """A listener whose method answers from shared memory."""

    __test__ = False

    @staticmethod
    def engine() -> EngineMaker:
        """The engine; subclasses say which."""
        raise NotImplementedError

    def setUp(self) -> None:
        self.parts = EngineParts(self.engine())
        self.slots = SharedMemoryPool(-1, 1 << 18, memoryview(bytearray(SLOTS << 18)))
        self.stage = RpcStage(make_engine=self.parts)  # type: ignore[arg-type]  # it makes engines
        self.stage.site.keep.answers = self.answer
        self.transport = FillingTransport()

    def answer(self, call: Call, body: bytes | None) -> None:
        """Answer as a worker does that lays its answer over its request."""
        place = self.slots.take(len(BODY))
        assert place is not None
        view = self.slots.view(place)
        view[:] = BODY
        call.reply_large(AHEAD, view, self.once(place))

    def answer_bytes(self, answer: bytes, call: Call, body: bytes | None) -> None:
        """Answer with memory of nobody else's."""
        call.reply_large(AHEAD, answer, lambda: None)

    def once(self, place: SharedSlot) -> Callable[[], SharedSlot | None]:
        """Hand a place over; where nobody takes it, it is free once the answer was given."""
        self.stage.soon.append(lambda: None if taken else place.free())
        taken: list[bool] = []

        def take() -> SharedSlot:
            taken.append(True)
            return place

        return take

    def connect(
        self, more: int = 16 * WINDOW, window: int = WINDOW, transport: MemoryTransport | None = None
    ) -> RpcClient:
        """A client with windows for streams, and so much more for all than there is at first."""
        client = self.stage.connect(window, self.transport if transport is None else transport)
        if more:
            client.http2.connection.increment_flow_control_window(more)
        client.pump()
        return client

    def sent(self) -> None:
        """The transport has sent all."""
        told, self.transport.told_when_sent = self.transport.told_when_sent, []
        for tell in told:
            tell()

    def test_an_answer_is_sent_from_where_it_lies(self) -> None:
        client = self.connect()
        for count in range(1, 4):
            answer = client.ask("Keep")
            self.assertEqual((WHOLE, 0, True), (answer.body, answer.status, answer.is_ended))
            self.assertEqual(SLOTS - 1, self.slots.free, "it is not known to be sent")
            self.sent()
            self.assertEqual(SLOTS, self.slots.free)
            self.assertEqual(count * len(AHEAD + BODY), client.connection.answer_bytes)
        self.assertEqual([], self.parts.sizes)
        self.assertEqual(0, client.connection.unsent)
        self.assertEqual({}, client.connection.reception.calls)

    def test_from_transports_that_cannot_tell_it_is_sent_as_a_copy(self) -> None:
        for transport in (MemoryTransport(), TellingTransport(is_secure=True)):
            client = self.connect(transport=transport)
            self.assertEqual(WHOLE, client.ask("Keep").body)
            self.assertEqual(SLOTS, self.slots.free)
        self.assertEqual([], self.parts.sizes)

    def test_what_is_to_be_encrypted_is_copied_and_its_place_free_at_once(self) -> None:
        transport = FillingTransport(is_secure=True)
        client = self.connect(transport=transport)
        self.assertEqual(WHOLE, client.ask("Keep").body)
        self.assertEqual((SLOTS, [], []), (self.slots.free, transport.told_when_sent, self.parts.sizes))

    def test_bytes_of_any_length_are_answers(self) -> None:
        client = self.connect()
        for size in (0, 1, FRAME - 7, FRAME - 6, 5 * FRAME - 7, 5 * FRAME):
            self.stage.site.keep.answers = partial(self.answer_bytes, bytes(size))
            self.assertEqual(message(AHEAD + bytes(size)), client.ask("Keep").body)
        self.assertEqual([], self.parts.sizes)

    def test_frames_are_as_large_as_the_client_takes_them(self) -> None:
        client = self.connect()
        for size in (FRAME, 1 << 20, 100_000):
            client.http2.connection.update_settings({5: size})
            client.pump()
            stream = client.http2.request("Keep", message(b""))
            client.connection.dataReceived(client.http2.output())
            self.stage.turn()
            data = self.transport.value()
            self.transport.clear()
            self.sent()
            whole, rest = divmod(len(WHOLE), size)
            self.assertEqual([size] * whole + [rest], body_sizes(data))
            client.http2.feed(data)
            self.assertEqual(WHOLE, client.http2.answers[stream].body)

    def test_no_window_is_overrun_and_none_is_lost(self) -> None:
        client = self.connect(4 * WINDOW)  # the client's library complains about a byte too many
        for _ in range(40):
            self.assertEqual(WHOLE, client.ask("Keep").body)
            self.assertEqual(b"hello", client.ask("Echo").messages[0])
            self.sent()
        self.assertLess(sum(self.parts.sizes), 5 * len(WHOLE))
        engine, outflow = client.connection.engine, client.connection.outflow
        theirs = client.http2.connection.inbound_flow_control_window
        self.assertEqual(theirs, engine.window() + outflow.window)

    def test_where_a_window_is_too_small_the_engine_sends_it_bit_by_bit(self) -> None:
        for more, window in ((0, WINDOW), (WINDOW, 65_535)):
            before = len(self.parts.sizes)
            client = self.connect(more, window, FillingTransport())
            self.assertEqual(WHOLE, client.ask("Keep").body)
            self.assertEqual(SLOTS, self.slots.free)
            self.assertGreater(len(self.parts.sizes), before)

    def test_the_engine_gets_of_the_window_what_it_needs(self) -> None:
        client = self.connect()
        stream = client.http2.request("Talk")
        client.pump()
        client.http2.takes = False
        talk = self.stage.site.talk.calls[0]
        for _ in range(7):
            talk.send(bytes(150_000))
            client.pump()
        self.assertEqual(7 * 150_005, len(client.http2.answers[stream].body) + client.connection.unsent)
        self.assertEqual(WINDOW, len(client.http2.answers[stream].body))
        self.assertGreater(client.connection.engine.window(), 0)

    def test_a_full_transport_is_waited_for(self) -> None:
        client = self.connect()
        client.connection.pauseProducing()
        stream = client.http2.request("Keep", message(b""))
        client.connection.dataReceived(client.http2.output())
        client.pump()
        self.assertEqual(b"", client.http2.answers[stream].body)
        self.assertEqual(len(WHOLE), client.connection.unsent)
        client.connection.resumeProducing()
        client.pump()
        self.assertEqual(WHOLE, client.http2.answers[stream].body)
        self.assertEqual(0, client.connection.unsent)

    def wait(self, client: RpcClient) -> int:
        """Have an answer wait for the transport."""
        client.connection.pauseProducing()
        stream = client.http2.request("Keep", message(b""))
        client.connection.dataReceived(client.http2.output())
        self.stage.turn()
        self.assertEqual(SLOTS - 1, self.slots.free)
        return stream

    def test_one_that_nobody_waits_for_leaves_nothing(self) -> None:
        client = self.connect()
        window = client.connection.outflow.window
        stream = self.wait(client)
        client.http2.connection.reset_stream(stream, 8)
        client.connection.dataReceived(client.http2.output())
        self.assertEqual((SLOTS, 0), (self.slots.free, client.connection.outflow.size))
        self.assertEqual(window, client.connection.outflow.window)
        self.wait(client)
        client.leave()
        self.assertEqual(SLOTS, self.slots.free)

    def test_a_window_that_was_made_smaller_is_kept(self) -> None:
        client = self.connect()
        stream = self.wait(client)
        client.http2.connection.update_settings({4: 100_000})
        client.connection.dataReceived(client.http2.output())
        client.connection.resumeProducing()
        client.pump()
        self.sent()
        self.assertEqual(WHOLE, client.http2.answers[stream].body)
        self.assertEqual([len(WHOLE)], self.parts.sizes)
        self.assertEqual(SLOTS, self.slots.free)

    def test_a_window_that_is_opened_too_far_ends_the_connection(self) -> None:
        client = self.connect()
        for size in (1 << 30, 1 << 30):
            client.connection.dataReceived(raw_frame(8, 0, 0, size.to_bytes(4, "big")))
        client.pump()
        self.assertEqual([3], [code for code, _, _ in client.http2.goaways])
        self.assertTrue(self.transport.is_closing)

    def test_a_window_that_is_opened_by_nothing_is_for_the_engine_to_judge(self) -> None:
        client = self.connect()
        client.connection.dataReceived(raw_frame(8, 0, 0, bytes(4)))
        self.assertTrue(self.transport.is_closing)

    def test_openings_may_be_cut_anywhere(self) -> None:
        client = self.connect()
        before = client.connection.outflow.window + client.connection.engine.window()
        opening = raw_frame(8, 0, 0, (LOW).to_bytes(4, "big"))
        for cut in range(len(opening) + 1):
            client.connection.dataReceived(opening[:cut])
            client.connection.dataReceived(opening[cut:] + raw_frame(6, 1, 0, bytes(8)))
        after = client.connection.outflow.window + client.connection.engine.window()
        self.assertEqual((len(opening) + 1) * LOW, after - before)


class Ngh2OutflowTests(OutflowContract):
    """By ngh2."""

    __test__ = True

    @staticmethod
    def engine() -> EngineMaker:
        """This one."""
        return Ngh2Engine


class H2OutflowTests(OutflowContract):
    """By h2."""

    __test__ = True

    @staticmethod
    def engine() -> EngineMaker:
        """This one."""
        return H2Engine
