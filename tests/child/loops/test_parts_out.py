"""Parts of streamed answers, from a handler to the server."""

from __future__ import annotations

import threading
from collections.abc import Callable

from modelserver.child.context import Context
from modelserver.child.data.streaming import send_intermediate_predict_response
from modelserver.jobs import Answer
from modelserver.protocol import frames
from modelserver.protocol.parts import RING_SIZE, PartsReader
from tests.harness.loops import LONGEST, Data, LoopTestCase


class PartsOutTests(LoopTestCase):
    """Whichever way a part goes, it comes in its turn."""

    def test_parts_of_one_request_of_all_kinds(self) -> None:
        """Those that are bodies alone go another way than those with a head, or that have no room."""
        long = "x" * 900

        def handle(data: Data, context: Context) -> object:
            for part in ("0", b"1", "2", {"three": 3}, "", "4", long, "5"):
                send_intermediate_predict_response([part], context.request_ids, "", 200, context)
            context.request_processor[0].add_response_property("X-Late", "yes")
            for part in ("6", "7", "8"):
                send_intermediate_predict_response([part], context.request_ids, "", 200, context)
            for bad in (long + long, "\ud800", object()):
                try:
                    send_intermediate_predict_response([bad], context.request_ids, "", 200, context)
                except ValueError:
                    send_intermediate_predict_response(["bad"], context.request_ids, "", 200, context)
            return ["last"]

        self.start(handle)
        for number in (1, 2):
            self.send(number, self.job(b"a"))
            parts: list[Answer] = []
            while len(parts) < 14:
                parts += [part for part in self.receive(frames.PART, number) if isinstance(part, Answer)]
            bodies = [bytes(part.body) for part in parts]
            self.assertEqual(bodies[:3], [b"0", b"1", b"2"])
            self.assertEqual(bodies[4:11], [b"", b"4", long.encode(), b"5", b"6", b"7", b"8"])
            self.assertEqual(bodies[11:], [b"bad"] * 3)
            told = [place for place, part in enumerate(parts) if part.header_block]
            self.assertEqual((told, b"X-Late" in parts[8].header_block), ([0, 8], True))
            self.assertEqual(self.bodies(frames.ANSWERS, number), [b"last"])

    def test_more_parts_than_there_is_room_for(self) -> None:
        """While the server takes none, and while it does: some wait, some go through the socket, all come."""
        texts = [f"{place:0900}" for place in range(2 * RING_SIZE // 900)]

        def handle(data: Data, context: Context) -> object:
            for text in texts:
                send_intermediate_predict_response([text], context.request_ids, "", 200, context)
            return ["last"]

        self.start(handle)
        self.send(1, self.job(b"a"))
        found = [body for _ in texts for body in self.bodies(frames.PART, 1)]
        self.assertEqual(found, [text.encode() for text in texts])
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"last"])

    def test_where_nothing_may_be_laid_all_go_through_the_socket_and_nothing_is_announced(self) -> None:
        begins = threading.Event()

        def handle(data: Data, context: Context) -> object:
            begins.wait(LONGEST)
            for part in ("a", "b", "c"):
                send_intermediate_predict_response([part], context.request_ids, "", 200, context)
            return ["last"]

        self.start(handle)
        PartsReader(self.ahead.parts._area, keeps_order=False)
        begins.set()
        self.send(1, self.job(b"a"))
        told = [self.reader.wait(self.ours) for _ in range(4)]
        kinds = [(frame.kind, frame.items) for frame in told]
        self.assertEqual(kinds, [(frames.PART, 1)] * 3 + [(frames.ANSWERS, 1)])

    def test_what_sends_parts_may_be_kept_for_the_next_batch(self) -> None:
        kept: list[Callable[[list[str]], None]] = []

        def handle(data: Data, context: Context) -> object:
            kept.append(context.send_parts)  # type: ignore[arg-type]
            for part in ("a", "b", "c"):
                kept[0]([part] * len(data))
            return ["last"] * len(data)

        self.start(handle)
        for number, count in ((1, 1), (2, 2), (3, 1)):
            self.send(number, *[self.job(b"a")] * count)
            for part in (b"a", b"b", b"c"):
                self.assertEqual(self.bodies(frames.PART, number), [part] * count)
            self.assertEqual(self.bodies(frames.ANSWERS, number), [b"last"] * count)

    def test_client_that_leaves_between_two_parts_is_heard_at_the_next(self) -> None:
        outcome: list[str] = []
        begun, left = threading.Event(), threading.Event()

        def handle(data: Data, context: Context) -> object:
            for part in ("a", "b", "c"):
                send_intermediate_predict_response([part], context.request_ids, "", 200, context)
            begun.set()
            left.wait(LONGEST)
            try:
                send_intermediate_predict_response(["d"], context.request_ids, "", 200, context)
            except ConnectionError as error:
                outcome.append(type(error).__name__)
                raise
            return ["last"]

        self.start(handle)
        self.send(1, self.job(b"a"))
        self.wait_until(begun)
        self.leave(1)
        left.set()
        for part in (b"a", b"b", b"c"):
            self.assertEqual(self.bodies(frames.PART, 1), [part])
        self.receive(frames.ANSWERS, 1)
        self.assertEqual(outcome, ["ClientsGone"])
