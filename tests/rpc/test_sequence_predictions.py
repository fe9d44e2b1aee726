"""TorchServe's StreamPredictions2: sequences of requests on one call, each with a state at one worker."""

from __future__ import annotations

from typing import Any

from modelserver.errors import PredictionFailed
from modelserver.jobs import Answer
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.rpc_messages import type_of
from tests.harness.rpc_services import RpcCase
from tests.rpc.test_inference import HTTP, request

IDLE = 60.0


def status_of(message: Any) -> tuple[int, str, list[str]]:
    """The code, the text and the reasons of a message's status."""
    reasons = []
    for each in message.status.details:
        reason = type_of("rpc.ErrorInfo")()
        assert each.Unpack(reason)
        reasons.append(reason.reason)
    return message.status.code, message.status.message, reasons


class SequenceCase(RpcCase):
    """Calls of StreamPredictions2."""

    def serve_sequences(self, **settings: object) -> None:
        """Serve a stateful model."""
        self.version = self.serve(stateful=True, sequence_max_idle=IDLE, **settings)  # type: ignore[arg-type]  # by name

    def ask(self, *requests: Any, ends: bool = False) -> MemoryCall:
        """Begin a call."""
        return self.call("StreamPredictions2", *requests, ends=ends)

    def messages(self, call: MemoryCall) -> list[Any]:
        """Return what has come so far."""
        return self.answers(call, "inference.PredictionResponse")

    def predictions(self, call: MemoryCall) -> list[bytes]:
        """Return the predictions that have come so far."""
        return [message.prediction for message in self.messages(call)]

    def answer_next(self, body: bytes | PredictionFailed = b"x") -> None:
        """Answer the oldest job of the worker."""
        self.worker.answer(body if isinstance(body, PredictionFailed) else Answer(200, b"", body))
        self.stage.turn()

    def lines(self) -> list[bytes]:
        """Return what the oldest job says of its sequence."""
        block = self.job.request.header_block
        return [line for line in block.split(b"\r\n") if line.startswith(b"ts_request")]


class StreamTests(SequenceCase):
    """Requests and answers."""

    def test_one_answer_for_each_request_in_order_with_the_sequences_name(self) -> None:
        self.serve_sequences()
        call = self.ask(request(sequence="s", data=b"1"))
        self.assertEqual(self.lines(), [b"ts_request_sequence_id: s"])
        self.answer_next(b"a")
        self.send(call, request(sequence="s", data=b"2"))
        self.answer_next(b"b")
        self.assertEqual(
            [(each.prediction, each.sequence_id) for each in self.messages(call)], [(b"a", "s"), (b"b", "s")]
        )
        self.assertIsNone(call.status)

    def test_requests_that_come_at_once_wait_for_their_turn(self) -> None:
        self.serve_sequences(sequence_jobs=1)
        call = self.ask(*(request(sequence="s", data=b"%d" % number) for number in range(5)))
        for number in range(5):
            self.answer_next(b"%d" % number)
        self.assertEqual(self.predictions(call), [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual([], [each for each in self.stage.recorder.counts if each[0] == "refused"])

    def test_requests_behind_the_end_of_their_sequence_begin_it_anew(self) -> None:
        self.serve_sequences(sequence_jobs=8)
        end = request(sequence="s", ts_request_sequence_end=b"true")
        call = self.ask(request(sequence="s"), end, request(sequence="s"), end, end, ends=True)
        for number in range(5):
            self.answer_next(b"%d" % number)
        self.assertEqual(self.predictions(call), [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(self.told(call)[0], "OK")

    def test_those_of_several_sequences_wait_by_themselves(self) -> None:
        self.serve_sequences(max_sequences=2, batch_size=2, sequence_jobs=1)
        call = self.ask(*(request(sequence=name, data=b"") for name in "ststst"))
        for _ in range(3):
            ((_, jobs),) = self.worker.batches
            self.assertEqual(len(jobs), 2)
            self.worker.answer(*(Answer(200, b"", b"x") for _ in jobs))
            self.stage.turn()
        self.assertEqual([each.sequence_id for each in self.messages(call)], list("ststst"))

    def test_sequence_that_another_call_fills_is_refused(self) -> None:
        self.serve_sequences(sequence_jobs=1)
        first = self.ask(request(sequence="s"))
        self.send(first, request(sequence="s"))
        second = self.ask(request(sequence="s"))
        (message,) = self.messages(second)
        self.assertEqual(status_of(message)[0], 13)
        for _ in range(2):
            self.answer_next()
        self.assertEqual(len(self.messages(first)), 2)

    def test_several_sequences_on_one_call(self) -> None:
        self.serve_sequences(max_sequences=2, batch_size=2)
        call = self.ask(request(sequence="s"), request(sequence="t"))
        ((_, jobs),) = self.worker.batches
        self.assertEqual(len(jobs), 2)
        self.worker.answer(Answer(200, b"", b"1"), Answer(200, b"", b"2"))
        self.assertEqual(
            {(each.prediction, each.sequence_id) for each in self.messages(call)}, {(b"1", "s"), (b"2", "t")}
        )

    def test_parts(self) -> None:
        self.serve_sequences()
        call = self.ask(request(sequence="s"))
        self.worker.send_part(b"a")
        self.answer_next(b"b")
        self.assertEqual(self.predictions(call), [b"a", b"b"])

    def test_model_without_sequences_answers_all_the_same(self) -> None:
        self.serve()
        call = self.ask(request(sequence="s"), ends=True)
        self.answer_next(b"a")
        self.assertEqual((self.predictions(call), self.told(call)[0]), ([b"a"], "OK"))

    def test_name_that_is_no_ascii(self) -> None:
        self.serve_sequences()
        call = self.ask(request(sequence="grüß✓"))
        self.assertEqual(self.lines(), ["ts_request_sequence_id: grüß✓".encode()])
        self.answer_next()
        self.send(call, request(sequence="grüß✓", ts_request_sequence_end=b"true"))
        self.answer_next()
        self.assertEqual([each.sequence_id for each in self.messages(call)], ["grüß✓"] * 2)
        self.assertEqual(self.version.queue.next_batch([]), None)


class ErrorTests(SequenceCase):
    """One request's error is a status; the stream lives."""

    def test_refusals_come_as_a_status(self) -> None:
        self.serve_sequences()
        call = self.ask(
            request(),
            request(sequence=""),
            request("", sequence="s"),
            request("nope", sequence="s"),
            b"\x0a\x05m",
            request(sequence="s"),
        )
        self.answer_next(b"a")
        *refused, answered = self.messages(call)
        self.assertEqual(
            [status_of(message)[:2] for message in refused],
            [
                (13, "Parameter sequenceId is required."),
                (13, "Parameter sequenceId is required."),
                (13, "Parameter model_name is required."),
                (13, "Model not found: nope"),
                (3, "The request is no message: a value leads out of it, or has no number."),
            ],
        )
        self.assertEqual(status_of(refused[0])[2], ["BadRequestException.()"])
        self.assertEqual(status_of(refused[3])[2], ["org.pytorch.serve.archive.model.ModelNotFoundException"])
        self.assertEqual((answered.prediction, answered.HasField("status")), (b"a", False))
        self.assertIsNone(call.status)

    def test_handler_that_fails_loses_nobody(self) -> None:
        self.serve_sequences()
        call = self.ask(request(sequence="s"))
        self.answer_next(PredictionFailed(503, "Prediction failed"))
        (message,) = self.messages(call)
        self.assertEqual(status_of(message), (14, "Prediction failed", [HTTP]))
        self.assertEqual(message.sequence_id, "s")
        self.send(call, request(sequence="s"))
        self.answer_next(b"b")
        self.assertEqual(self.predictions(call)[1:], [b"b"])

    def test_more_sequences_than_there_may_be(self) -> None:
        self.serve_sequences(max_sequences=1)
        call = self.ask(request(sequence="s"), request(sequence="t"))
        (message,) = self.messages(call)
        code, text, reasons = status_of(message)
        self.assertEqual((code, reasons), (13, ["InternalServerException.()"]))
        self.assertIn("exceeds maxSequenceJobQueueSize", text)


class EndTests(SequenceCase):
    """Sequences end by request, with their call, and when they have been idle."""

    def is_free(self) -> bool:
        """Whether the only place for a sequence can be taken."""
        probe = self.ask(request(sequence="probe"))
        is_free = not probe.messages
        probe.cancel()
        self.stage.turn()
        if is_free and self.worker.batches:
            self.worker.answer()
            self.stage.turn()
        return is_free

    def test_by_request(self) -> None:
        self.serve_sequences(max_sequences=1)
        call = self.ask(request(sequence="s"))
        self.answer_next()
        self.assertFalse(self.is_free())
        self.send(call, request(sequence="s", ts_request_sequence_end=b"True"))
        self.assertEqual(self.lines()[1:], [b"ts_request_sequence_end: true"])
        self.answer_next()
        self.assertTrue(self.is_free())
        self.assertIsNone(call.status)

    def test_by_the_end_of_the_clients_side_when_all_is_answered(self) -> None:
        self.serve_sequences(max_sequences=1)
        call = self.ask(request(sequence="s"), request(sequence="s"), ends=True)
        self.answer_next(b"a")
        self.assertIsNone(call.status)
        self.answer_next(b"b")
        self.assertEqual((self.predictions(call), self.told(call)[0]), ([b"a", b"b"], "OK"))
        self.assertTrue(self.is_free())

    def test_by_idle_time(self) -> None:
        self.serve_sequences(max_sequences=1)
        call = self.ask(request(sequence="s"))
        self.answer_next()
        self.clock.advance(IDLE - 1)
        self.assertFalse(self.is_free())
        self.clock.advance(2)
        self.assertTrue(self.is_free())
        self.assertIsNone(call.status)

    def test_by_a_client_that_leaves(self) -> None:
        self.serve_sequences(max_sequences=1)
        call = self.ask(*(request(sequence="s") for _ in range(4)))
        call.cancel()
        self.answer_next()
        self.assertEqual((self.version.queue.length, len(call.messages)), (0, 0))
        self.assertTrue(self.is_free())
        self.assertEqual((call.on_resume, call.context), (None, None))

    def test_sequence_that_begins_without_a_name_gets_one(self) -> None:
        self.serve_sequences()
        call = self.ask(request(ts_request_sequence_start=b"true"))
        name, start = self.lines()
        self.assertEqual(start, b"ts_request_sequence_start: true")
        self.answer_next()
        (message,) = self.messages(call)
        self.assertEqual(name.decode(), f"ts_request_sequence_id: {message.sequence_id}")
        self.assertTrue(message.sequence_id.startswith("ts-seq-"))

    def test_call_without_requests(self) -> None:
        self.assertEqual(self.told(self.ask(ends=True))[0], "OK")


class FlowTests(SequenceCase):
    """Neither side piles up."""

    def test_client_may_send_on_when_its_request_is_answered(self) -> None:
        self.serve_sequences()
        asked = request(sequence="s", data=b"x" * 100)
        call = self.ask(asked)
        self.assertEqual(call.taken, 0)
        self.answer_next()
        self.assertEqual(call.taken, len(asked.SerializeToString()))

    def test_client_that_does_not_read_may_not_send(self) -> None:
        self.serve_sequences()
        asked = request(sequence="s")
        call = self.ask(asked)
        call.can_take = False
        self.answer_next()
        self.assertEqual(call.taken, 0)
        call.resume()
        self.assertEqual(call.taken, len(asked.SerializeToString()))

    def test_slow_reader_holds_its_handler(self) -> None:
        self.serve_sequences()
        call = self.ask(request(sequence="s"))
        call.can_take = False
        self.worker.send_part(b"a")
        call.resume()
        self.assertEqual([held for _, held in self.worker.holds], [True, False])
