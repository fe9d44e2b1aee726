"""TorchServe's InferenceAPIsService: Ping, Predictions and StreamPredictions."""

from __future__ import annotations

import json
from typing import Any
from unittest import TestCase

from attrs import evolve
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from modelserver.child.data.decoder import inputs_of
from modelserver.errors import BadRequest, PredictionFailed
from modelserver.jobs import Answer, SharedSlot
from modelserver.protocol.frames import EXPLAIN, INPUTS
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.rpc.codes import Code
from modelserver.rpc.inference import LastHead, PredictionHead, Predictions, read_head
from modelserver.rpc.predictions import AnswerRules, Predictor
from modelserver.rpc.site import SiteRules
from modelserver.rpc.status import PREDICTION_ENDINGS, Statuses
from modelserver.spec import WorkerFailure
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.defects import FailingRecorder
from tests.harness.rpc_messages import type_of
from tests.harness.rpc_services import RpcCase

HTTP = "org.pytorch.serve.http.InternalServerException"
RESPONSE = "inference.PredictionResponse"


def request(name: str = "m", version: str = "", sequence: str | None = None, **inputs: bytes) -> Any:
    return type_of("inference.PredictionsRequest")(
        model_name=name, model_version=version, input=inputs, sequence_id=sequence
    )


_VALUES = st.sampled_from((b"", b"x", b"\x0a\x01k\x12\x00", b"y" * 200))


class HeadTests(TestCase):
    """``read_head``."""

    @given(st.text(), st.text(), st.dictionaries(st.text(), st.binary(max_size=300)), st.text())
    def test_it_is_what_the_library_reads(
        self, name: str, version: str, inputs: dict[str, bytes], sequence: str
    ) -> None:
        asked = type_of("inference.PredictionsRequest")(
            model_name=name, model_version=version, input=inputs, sequence_id=sequence
        )
        for data in (asked.SerializeToString(), memoryview(asked.SerializeToString())):
            self.assertEqual(read_head(data), PredictionHead((name, version or None), sequence))

    @given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(("", "1")), _VALUES)))
    def test_who_knows_the_last_one_reads_the_same(self, asked: list[tuple[str, str, bytes]]) -> None:
        heads = LastHead()
        for name, version, value in asked:
            data = request(name, version, k=value).SerializeToString()
            for message in (data, memoryview(data)):
                self.assertEqual(heads.read(message), read_head(data))

    @given(st.binary(max_size=12), st.binary(max_size=4))
    def test_short_ways_are_as_strict_as_long_ones(self, name: bytes, rest: bytes) -> None:
        data = b"\x0a" + bytes([len(name)]) + name + b"\x1a" + rest
        try:
            known = type_of("inference.PredictionsRequest").FromString(data)
        except DecodeError:
            known = None
        try:
            found = read_head(data)
        except BadRequest:
            # Groups, which the library skips, have been out of use since proto2.
            self.assertTrue(known is None or any(byte & 7 in (3, 4) for byte in data))
        else:
            # What is within the input is for the worker to look at.
            if known is not None:
                self.assertEqual(found.target[0], known.model_name)

    @given(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.dictionaries(st.sampled_from("kl"), _VALUES)), min_size=2
        )
    )
    def test_workers_read_the_inputs_of_messages_of_like_sizes(
        self, asked: list[tuple[str, dict[str, bytes]]]
    ) -> None:
        """What they remember of one message does not change what they read in the next."""
        for name, inputs in asked:
            for data in (b"", request(name, "", None, **inputs).SerializeToString()):
                known = type_of("inference.PredictionsRequest").FromString(data)
                self.assertEqual(inputs_of(memoryview(data)), dict(known.input))
            if inputs:
                entry = data[data.index(b"\x1a") :]
                again = type_of("inference.PredictionsRequest").FromString(data + entry)
                self.assertEqual(inputs_of(data + entry), dict(again.input), "the last of a name counts")

    def test_last_name_counts(self) -> None:
        for data in (b"\x0a\x01a\x0a\x01b", b"\x0a\x01a\x1a\x00\x0a\x01b", b"\x1a\x00\x0a\x01b"):
            self.assertEqual(read_head(data).target[0], "b")


class PingTests(RpcCase):
    """Ping."""

    def test_health_is_rests_json_without_the_newline(self) -> None:
        call = self.call("Ping", b"")
        found = self.answer(call, "inference.TorchServeHealthResponse").health
        self.assertEqual(found, '{\n  "status": "Healthy"\n}')

    def test_call_is_ok_for_unhealthy_models_too(self) -> None:
        self.serve()
        for _ in range(3):
            self.worker.exit(WorkerFailure("load", 0.0, permanent=True))
            self.clock.advance(400)
        found = self.answer(self.call("Ping", b""), "inference.TorchServeHealthResponse").health
        self.assertEqual(json.loads(found), {"status": "Unhealthy"})


class PredictionTests(RpcCase):
    """Predictions."""

    def test_message_goes_to_the_worker_as_it_came(self) -> None:
        self.serve()
        asked = request(data=b"\xff", k=b"")
        call = self.call("Predictions", asked, metadata=(("x-a", "b"), ("k-bin", b"\0")))
        job = self.job.request
        self.assertEqual(inputs_of(job.body), {"data": b"\xff", "k": b""})  # type: ignore[arg-type]  # it is no slot
        self.assertEqual((job.flags, job.asked), (INPUTS, None))
        self.assertIn(b"x-a: b\r\n", job.header_block)
        self.worker.answer(Answer(200, b"", b"answer"))
        self.assertEqual(self.answer(call, RESPONSE).prediction, b"answer")
        self.assertEqual(call.request_id, job.id)

    def test_answers_of_every_length(self) -> None:
        self.serve()
        for length in (0, 1, 127, 128, 20_000):
            call = self.call("Predictions", request())
            self.worker.answer(Answer(200, b"", b"x" * length))
            self.assertEqual(len(self.answer(call, RESPONSE).prediction), length)

    def test_version(self) -> None:
        self.serve()
        self.serve(version="2.0")
        self.call("Predictions", request(version="2.0"))
        self.assertEqual(self.job.request.asked, "2.0")

    def test_refusals(self) -> None:
        self.serve("idle", workers=0)
        for asked, text, second in (
            (request(""), "Parameter model_name is required.", "BadRequestException.()"),
            (
                request("nope"),
                "Model not found: nope",
                "org.pytorch.serve.archive.model.ModelNotFoundException",
            ),
            (
                request("idle", "9.9"),
                "Model version: 9.9 does not exist for model: idle",
                "org.pytorch.serve.archive.model.ModelVersionNotFoundException",
            ),
        ):
            for name in ("Predictions", "StreamPredictions"):
                with self.subTest(text, method=name):
                    call = self.call(name, asked)
                    self.assertEqual(self.told(call), ("INTERNAL", [text, second]))
                    self.assertTrue(call.request_id)
        code, lines = self.told(self.call("Predictions", request("idle")))
        self.assertEqual((code, lines[1]), ("INTERNAL", "InternalServerException.()"))
        self.assertTrue(lines[0].startswith('Model "idle" has no worker to serve inference request.'))

    def test_bytes_that_are_no_message_are_refused(self) -> None:
        self.serve()
        for damaged in (b"\x0a\x05m", b"\x0a\x01\xff", b"\x1a"):
            self.assertEqual(self.told(self.call("Predictions", damaged))[0], "INVALID_ARGUMENT")
        self.assertEqual(self.worker.batches, [])

    def test_errors_of_handlers_and_workers(self) -> None:
        for error, code in (
            (PredictionFailed(503, "Prediction failed"), "UNAVAILABLE"),
            (PredictionFailed(404, "no"), "NOT_FOUND"),
            (PredictionFailed(302, "elsewhere"), "UNKNOWN"),
        ):
            with self.subTest(error):
                self.setUp()
                self.serve()
                call = self.call("Predictions", request())
                self.worker.answer(error)
                self.assertEqual(self.told(call), (code, [error.message, HTTP]))
                self.assertIsNone(call.on_cancelled)

    def test_exception_that_says_success_is_one_as_in_torchserve(self) -> None:
        self.serve()
        call = self.call("Predictions", request())
        self.worker.answer(PredictionFailed(200, "error"))
        self.assertEqual(self.answer(call, RESPONSE).prediction, b"error")

    def test_what_the_handler_sets_comes_back_as_metadata(self) -> None:
        self.serve()
        call = self.call("Predictions", request())
        block = (
            b"Gone\r\nX-A: caf\xe9\r\ncontent-type: text/plain\r\ngrpc-status: 0\r\na b: c\r\nk-bin: v\r\n"
        )
        self.worker.answer(Answer(418, block, b"teapot"))
        self.assertEqual(self.answer(call, RESPONSE).prediction, b"teapot")
        assert call.status is not None
        self.assertEqual(
            call.status.trailing,
            (("x-status-code", "418"), ("x-a", "caf?"), ("x-content-type", "text/plain"), ("k-bin", b"v")),
        )

    def test_parts_of_a_streaming_handler_are_joined(self) -> None:
        self.serve()
        call = self.call("Predictions", request())
        self.worker.send_part(b"a")
        self.worker.send_part(b"b")
        self.assertEqual(call.messages, [])
        self.worker.answer(Answer(200, b"", b"c"))
        self.assertEqual(self.answer(call, RESPONSE).prediction, b"abc")

    def test_explanations(self) -> None:
        self.serve()
        for value, flags in (("True", INPUTS | EXPLAIN), ("true", INPUTS | EXPLAIN), ("false", INPUTS)):
            self.call("Predictions", request(), metadata=(("explain", value),))
            self.assertEqual(self.job.request.flags, flags)
            self.worker.answer()

    def test_deadline_is_the_jobs(self) -> None:
        self.serve()
        call = self.call("Predictions", request(), deadline=self.clock.seconds() + 5)
        self.assertEqual(self.job.request.deadline, self.clock.seconds() + 5)
        self.clock.advance(6)
        self.assertEqual(self.told(call)[0], "DEADLINE_EXCEEDED")

    def test_deadline_that_has_passed_already(self) -> None:
        self.serve()
        call = self.call("Predictions", request(), deadline=self.clock.seconds())
        self.assertEqual(self.told(call)[0], "DEADLINE_EXCEEDED")
        self.assertEqual(self.worker.batches, [])

    def test_client_that_leaves_withdraws_its_job(self) -> None:
        version = self.serve(batch_size=1)
        first, second = self.call("Predictions", request()), self.call("Predictions", request())
        second.cancel()
        first.cancel(Code.DEADLINE_EXCEEDED)
        self.assertEqual(version.queue.waiting, 0)
        self.worker.answer()
        self.stage.turn()
        self.assertEqual([first.messages, second.messages], [[], []])
        self.assertIsNone(first.on_resume)

    def test_sequence_that_a_request_names(self) -> None:
        self.serve(stateful=True, max_sequences=1, sequence_max_idle=60.0)
        self.call("Predictions", request(sequence="s"))
        self.assertIn(b"ts_request_sequence_id: s\r\n", self.job.request.header_block)
        self.worker.answer()
        self.stage.turn()
        self.assertEqual(self.told(self.call("Predictions", request(sequence="t")))[0], "INTERNAL")
        self.call("Predictions", request(sequence="s", ts_request_sequence_end=b"true"))
        self.worker.answer()
        self.stage.turn()
        self.call("Predictions", request(sequence="t"))
        self.assertEqual(len(self.worker.batches), 1)

    def test_name_of_a_sequence_cannot_add_headers(self) -> None:
        self.serve()
        for name in ("a\r\nx: y", "\0", " ", "x" * 1025):
            code, lines = self.told(self.call("Predictions", request(sequence=name)))
            self.assertEqual((code, lines[0][:20]), ("INVALID_ARGUMENT", "Parameter sequenceId"))
        self.assertEqual(self.worker.batches, [])


class StreamTests(RpcCase):
    """StreamPredictions."""

    def test_a_message_for_each_part_and_the_last(self) -> None:
        self.serve()
        call = self.call("StreamPredictions", request())
        self.worker.send_part(b"a")
        self.worker.send_part(b"")
        self.assertEqual([each.prediction for each in self.answers(call, RESPONSE)], [b"a"])
        self.worker.answer(Answer(200, b"\r\nx-a: b\r\n", b"c"))
        self.assertEqual([each.prediction for each in self.answers(call, RESPONSE)], [b"a", b"c"])
        assert call.status is not None
        self.assertEqual((call.status.code, call.status.trailing), (Code.OK, (("x-a", "b"),)))

    def test_handler_that_does_not_stream_is_answered_and_lives(self) -> None:
        self.serve()
        call = self.call("StreamPredictions", request())
        self.worker.answer(Answer(200, b"", b"all"))
        self.assertEqual(self.answer(call, RESPONSE).prediction, b"all")
        self.assertFalse(self.worker.is_gone)

    def test_slow_reader_holds_its_handler(self) -> None:
        self.serve()
        call = self.call("StreamPredictions", request())
        call.can_take = False
        self.worker.send_part(b"a")
        self.assertEqual([held for _, held in self.worker.holds], [True])
        call.resume()
        self.assertEqual([held for _, held in self.worker.holds], [True, False])

    def test_error_in_the_middle(self) -> None:
        self.serve()
        call = self.call("StreamPredictions", request())
        self.worker.send_part(b"a")
        self.worker.answer(PredictionFailed(503, "Prediction failed"))
        self.assertEqual(self.told(call), ("UNAVAILABLE", ["Prediction failed", HTTP]))
        self.assertEqual(len(call.messages), 1)

    def test_client_that_leaves_stops_the_handler(self) -> None:
        self.serve()
        call = self.call("StreamPredictions", request())
        self.worker.send_part(b"a")
        call.cancel()
        self.assertEqual(len(self.worker.cancelled), 1)


class MappedStatusTests(RpcCase):
    """With ``grpc_map_status``, what a handler sets decides on the call; joined answers have a limit."""

    rules = SiteRules(answers=AnswerRules(maps_status=True, largest=5))

    def test_status(self) -> None:
        self.serve()
        for name in ("Predictions", "StreamPredictions"):
            for status, code in ((200, "OK"), (201, "OK"), (404, "NOT_FOUND"), (418, "FAILED_PRECONDITION")):
                call = self.call(name, request())
                self.worker.answer(Answer(status, b"", b"text" if code != "OK" else b""))
                self.assertEqual(self.told(call), (code, ["" if code == "OK" else "text"]))

    def test_handler_that_sends_more_than_an_answer_may_have_is_stopped(self) -> None:
        self.serve()
        call = self.call("Predictions", request())
        self.worker.send_part(b"abc")
        self.worker.send_part(b"def")
        self.assertEqual(self.told(call)[0], "RESOURCE_EXHAUSTED")
        self.assertEqual(len(self.worker.cancelled), 1)


class LargeMessageTests(RpcCase):
    """Messages that are worth a slot of the shared memory."""

    def test_message_goes_where_workers_read_it_and_the_place_comes_back(self) -> None:
        self.serve()
        slots = SharedMemoryPool.open(1 << 20)
        if slots is None:
            self.skipTest("this system has no shared memory")
        self.addCleanup(slots.close)
        free = slots.free
        statuses = Statuses(self.dialect, PREDICTION_ENDINGS)
        method = Predictions(
            "/s/m", Predictor(self.inference, self.clock, slots), statuses, self.rules.answers
        )
        asked = request(data=b"x" * LARGE)
        call = MemoryCall()
        method.message(call, memoryview(asked.SerializeToString()))
        self.stage.turn()
        body = self.job.request.body
        assert isinstance(body, SharedSlot)
        self.assertEqual(bytes(slots.view(body)), asked.SerializeToString())
        self.worker.answer(Answer(200, b"", b"ok"))
        refused = MemoryCall()
        method.message(refused, request("nope", data=b"x" * LARGE).SerializeToString())
        self.assertEqual((self.told(refused)[0], slots.free), ("INTERNAL", free))

    def test_defect_gives_the_place_back(self) -> None:
        self.serve()
        freed: list[None] = []
        inference = evolve(self.inference, recorder=FailingRecorder(fails="request_arrived"))
        statuses = Statuses(self.dialect, PREDICTION_ENDINGS)
        method = Predictions("/s/m", Predictor(inference, self.clock), statuses, self.rules.answers)
        call = MemoryCall(place=SharedSlot(0, LARGE, lambda: freed.append(None)))
        with self.assertRaises(ZeroDivisionError):
            method.message(call, request(data=b"x" * LARGE).SerializeToString())
        self.stage.turn()
        self.assertEqual(([], [None]), (self.worker.batches, freed))
