"""An asynchronous handler in a worker: batches side by side."""

from __future__ import annotations

import asyncio
import threading
from unittest import TestCase

from modelserver.child.context import Context
from modelserver.child.data.streaming import send_intermediate_predict_response
from modelserver.child.envelopes.select import wrap
from modelserver.child.loading.event_loops import in_thread, on_the_loop
from modelserver.errors import BadRequest, PredictionFailed
from modelserver.jobs import Answer
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import unpack_answers
from tests.harness.loops import FORM, LONGEST, Data, LoopTestCase

ONE, TWO = bytes(15) + b"\1", bytes(15) + b"\2"


class ConcurrentLoopTests(LoopTestCase):
    """Each batch is at work until the test, or another batch, lets it go."""

    mode = "concurrent"

    def setUp(self) -> None:
        self.begun = threading.Event()
        self.gates: dict[str, asyncio.Event] = {}
        self.outcome: list[str] = []

    async def handle(self, data: Data, context: Context) -> object:
        """
        Do what the first body says.

        It is ``wait NAME``, ``open NAME``, ``fail``, ``quit``, ``cancel``, ``parts N`` or ``metric``.
        """
        what, _, name = bytes(data[0]["body"]).decode().partition(" ")  # type: ignore[call-overload]
        self.begun.set()
        if what == "wait":
            try:
                await asyncio.wait_for(self.gate(name).wait(), LONGEST)
            except asyncio.CancelledError:
                self.outcome.append("cancelled")
                raise
        elif what == "open":
            self.gate(name).set()
        elif what == "fail":
            raise ValueError(name)
        elif what == "quit":
            raise SystemExit(name)
        elif what == "cancel":
            raise asyncio.CancelledError
        elif what == "parts":
            for number in range(int(name)):
                texts = [str(number)] * len(data)
                send_intermediate_predict_response(texts, context.request_ids, "", 200, context)
        elif what == "metric":
            await asyncio.sleep(0)
            context.metrics.add_counter(name, 1)
        for place in range(len(data)):
            context.set_response_header(place, "x-id", (context.get_request_id(place) or "")[-1])
        return [what] * len(data)

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())

    def ask(self, number: int, body: bytes, request_id: bytes = ONE) -> None:
        self.send(number, self.job(body, b"", request_id))

    def test_later_batch_is_answered_while_an_earlier_one_waits(self) -> None:
        self.start(self.handle)
        self.ask(1, b"wait a", ONE)
        self.ask(2, b"open a", TWO)
        answers = {}
        for _ in range(2):
            frame = self.reader.wait(self.ours)
            ((_, (answer,), _),) = unpack_answers(frame)
            assert isinstance(answer, Answer)
            answers[frame.number] = (bytes(answer.body), answer.header_block)
        self.assertEqual(list(answers), [2, 1])
        self.assertEqual(answers[1], (b"wait", b"\r\nx-id: 1\r\n"))
        self.assertEqual(answers[2], (b"open", b"\r\nx-id: 2\r\n"))

    def test_ten_wait_together(self) -> None:
        self.start(self.handle)
        for number in range(1, 11):
            self.ask(number, b"wait a")
        self.ask(11, b"open a")
        numbers = {self.reader.wait(self.ours).number for _ in range(11)}
        self.assertEqual(numbers, set(range(1, 12)))

    def test_failure_is_that_of_its_own_batch(self) -> None:
        self.start(self.handle)
        self.ask(1, b"wait a")
        self.ask(2, b"fail no")
        (error,) = self.receive(frames.ANSWERS, 2)
        assert isinstance(error, PredictionFailed)
        self.assertEqual((error.code, error.exception, error.text), (503, "ValueError", "no"))
        self.ask(3, b"open a")
        self.assertEqual(self.bodies(frames.ANSWERS, 3), [b"open"])
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"wait"])

    def test_what_is_no_exception_costs_no_worker_either(self) -> None:
        self.start(self.handle)
        for number, (body, name) in enumerate(((b"quit no", "SystemExit"), (b"cancel", "CancelledError"))):
            self.ask(number, body)
            (error,) = self.receive(frames.ANSWERS, number)
            assert isinstance(error, PredictionFailed)
            self.assertEqual((error.code, error.exception), (503, name))
        self.ask(3, b"x")
        self.assertEqual(self.bodies(frames.ANSWERS, 3), [b"x"])

    def test_parts(self) -> None:
        self.start(self.handle)
        self.send(1, self.job(b"parts 2"), self.job(b"--B", FORM), self.job(b"x"))
        for number in (b"0", b"1"):
            part, refused, other = self.receive(frames.PART, 1)
            assert isinstance(part, Answer) and isinstance(other, Answer)
            self.assertEqual((part.body, other.body), (number, number))
            self.assertIsInstance(refused, BadRequest)
        last = self.receive(frames.ANSWERS, 1)[0]
        assert isinstance(last, Answer)
        self.assertIn(b"ts_stream_next: false", last.header_block)

    def test_handler_whose_clients_have_all_left_is_cancelled(self) -> None:
        self.start(self.handle)
        self.send(1, self.job(b"wait a"), self.job(b"x"))
        self.wait_until(self.begun)
        self.leave(1, 0)
        self.ask(2, b"x")
        self.assertEqual(self.bodies(frames.ANSWERS, 2), [b"x"])
        self.assertEqual(self.outcome, [])
        self.leave(1, 1)
        for error in self.receive(frames.ANSWERS, 1):
            assert isinstance(error, PredictionFailed)
            self.assertEqual(error.exception, "ClientsGone")
        self.assertEqual(self.outcome, ["cancelled"])

    def test_client_that_leaves_before_the_handler_begins(self) -> None:
        self.start(self.handle)
        batch = b"".join(map(bytes, frames.pack_batch(1, [self.job(b"wait a")])))
        self.ours.sendall(batch + frames.pack_bare(frames.CANCEL, 1, 0))
        (error,) = self.receive(frames.ANSWERS, 1)
        self.assertIsInstance(error, PredictionFailed)

    def test_request_that_cannot_be_read(self) -> None:
        self.start(self.handle)
        self.send(1, self.job(b"--B", FORM))
        (error,) = self.receive(frames.ANSWERS, 1)
        self.assertIsInstance(error, BadRequest)

    def test_metrics_have_the_ids_of_their_own_requests(self) -> None:
        self.start(self.handle)
        self.ask(1, b"metric one", ONE)
        self.ask(2, b"metric two", TWO)
        counted: dict[str, str] = {}
        while len(counted) < 2:
            frame = self.reader.wait(self.ours)
            if frame.kind == frames.METRICS:
                for metric in frames.unpack_json(frame)["metrics"]:  # type: ignore[attr-defined]
                    counted[metric["name"]] = metric["request_id"][-1]
        self.assertEqual(counted, {"one": "1", "two": "2"})

    def test_handler_that_is_not_async_is_served_all_the_same(self) -> None:
        self.start(lambda data, context: ["plain"] * len(data))
        self.ask(1, b"x")
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"plain"])


class EnvelopeTests(TestCase):
    """An asynchronous handler behind a request envelope."""

    def test_batches_are_at_work_together(self) -> None:
        async def ask_twice() -> list[object]:
            both = asyncio.Event()
            seen: list[object] = []

            async def handle(data: object, context: Context) -> object:
                seen.append(data)
                if len(seen) == 2:
                    both.set()
                await asyncio.wait_for(both.wait(), LONGEST)
                return data

            entry = in_thread(wrap("json", on_the_loop(handle)))
            context = Context("m", "/nowhere", None, 1, None, "1")
            bodies = [{"instances": [number]} for number in (1, 2)]
            return await asyncio.gather(*(entry([{"body": body}], context) for body in bodies))  # type: ignore[call-overload, no-any-return]

        self.assertEqual(asyncio.run(ask_twice()), [['{"predictions": [1]}'], ['{"predictions": [2]}']])
