"""Messages of gRPC in a worker's loops: what handlers get of them, and what becomes of their answers."""

from __future__ import annotations

import json
from typing import Any

from modelserver.child.context import Context, PredictionException
from modelserver.child.envelopes.select import wrap
from modelserver.errors import BadRequest, PredictionFailed, ResponseTooLarge
from modelserver.protocol import frames
from modelserver.protocol.frames import EXPLAIN, INFER, INPUTS
from tests.child.data.test_infer_request import RAW, raw, typed
from tests.harness.loops import Data, LoopTestCase
from tests.harness.rpc_messages import type_of

OUTPUT = {"outputs": [{"name": "o", "datatype": "INT32", "shape": [1], "data": [5]}]}


def fields(**inputs: bytes) -> bytes:
    message: bytes = type_of("inference.PredictionsRequest")(model_name="m", input=inputs).SerializeToString()
    return message


def infer_answer(answer: Any) -> Any:
    return type_of("oip.ModelInferResponse").FromString(bytes(answer.body))


class FieldsTests(LoopTestCase):
    """Inputs by name."""

    def test_handler_gets_every_input_as_bytes(self) -> None:
        seen: list[tuple[Any, Any]] = []

        def handle(data: Data, context: Context) -> object:
            seen.append((data[0], context.get_all_request_header(0)))
            return ["x"]

        self.start(handle)
        head = b"content-type: application/json\r\nk: v\r\n"
        message = type_of("inference.PredictionsRequest")(input={"data": b"{}", "": b"\xff", "grüß": b""})
        self.send(1, self.job(message.SerializeToString(), head, flags=INPUTS))
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"x"])
        ((row, headers),) = seen
        self.assertEqual(row, {"data": b"{}", "": b"\xff", "grüß": b""})
        self.assertEqual({type(value) for value in row.values()}, {bytearray})
        self.assertEqual(headers["data"], {"content-type": ""})
        self.assertEqual(headers["k"], "v")
        self.assertNotIn("url_path", headers)

    def test_explanations(self) -> None:
        self.start(lambda data, context: [context.get_request_header(0, "explain")])
        self.send(1, self.job(fields(), flags=INPUTS | EXPLAIN))
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"True"])

    def test_damaged_message_is_its_clients_fault_alone(self) -> None:
        self.start(lambda data, context: [row["data"] for row in data])
        self.send(1, self.job(fields(data=b"a"), flags=INPUTS), self.job(b"\x1a\x03\x0a\x09x", flags=INPUTS))
        answer, error = self.receive(frames.ANSWERS, 1)
        self.assertEqual(bytes(answer.body), b"a")  # type: ignore[union-attr]  # it is an answer
        self.assertIsInstance(error, BadRequest)

    def test_rest_and_messages_in_one_batch(self) -> None:
        self.start(lambda data, context: [row.get("data") or row.get("body") for row in data])
        self.send(1, self.job(b"rest"), self.job(fields(data=b"rpc"), flags=INPUTS))
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"rest", b"rpc"])

    def test_envelopes_open_the_field_data(self) -> None:
        self.start(wrap("kserve", lambda data, context: data))
        self.send(1, self.job(fields(data=b'{"instances": [1, 2]}'), flags=INPUTS))
        self.assertEqual(json.loads(self.bodies(frames.ANSWERS, 1)[0]), {"predictions": [1, 2]})

    def test_answer_that_is_too_large_says_so(self) -> None:
        self.start(lambda data, context: ["x" * 1001])
        self.send(1, self.job(fields(), flags=INPUTS))
        (error,) = self.receive(frames.ANSWERS, 1)
        self.assertIsInstance(error, ResponseTooLarge)
        self.assertIn("1001", str(error))


class InferMixin(LoopTestCase):
    """Tests of each loop."""

    def test_handler_gets_json_and_answers_with_json(self) -> None:
        seen: list[object] = []

        async def handle_async(data: Data, context: Context) -> object:
            return handle(data, context)

        def handle(data: Data, context: Context) -> object:
            seen.append((dict(data[0]["body"]), context.get_request_header(0, "body")))  # type: ignore[call-overload]  # a dict
            return [OUTPUT]

        self.start(handle_async if self.mode == "concurrent" else handle)
        self.send(1, self.job(typed("INT32", "int_contents", [1, 2]), flags=INFER))
        (answer,) = self.receive(frames.ANSWERS, 1)
        found = infer_answer(answer)
        self.assertEqual((found.id, found.model_name, found.model_version), ("7", "m", "1.0"))
        self.assertEqual(list(found.outputs[0].contents.int_contents), [5])
        tensor = {"name": "a", "shape": [2], "datatype": "INT32", "data": [1, 2]}
        document = {"id": "7", "model_name": "m", "inputs": [tensor]}
        self.assertEqual(seen, [(document, {"content-type": "application/json"})])

    def test_answer_that_is_none_names_what_is_missing(self) -> None:
        self.start(lambda data, context: ["{}"])
        self.send(1, self.job(raw("FP32", RAW["FP32"]), flags=INFER))
        (error,) = self.receive(frames.ANSWERS, 1)
        assert isinstance(error, PredictionFailed)
        self.assertEqual((error.code, "outputs" in error.message), (500, True))


class InferTests(InferMixin):
    """Batches."""

    def test_each_of_a_batch_is_answered_in_its_own_form(self) -> None:
        self.start(lambda data, context: [OUTPUT] * len(data))
        self.send(
            1,
            self.job(raw("FP32", RAW["FP32"]), flags=INFER),
            self.job(typed("INT32", "int_contents", [1, 2]), flags=INFER),
            self.job(b"rest"),
        )
        first, second, third = self.receive(frames.ANSWERS, 1)
        self.assertEqual(list(infer_answer(first).raw_output_contents), [b"\5\0\0\0"])
        self.assertEqual(list(infer_answer(second).outputs[0].contents.int_contents), [5])
        self.assertEqual(json.loads(bytes(third.body)), OUTPUT)  # type: ignore[union-attr]  # it is an answer

    def test_handlers_own_refusal_keeps_its_code(self) -> None:
        def handle(data: Data, context: Context) -> object:
            raise PredictionException("no", 404)

        self.start(handle)
        self.send(1, self.job(raw("FP32", RAW["FP32"]), flags=INFER))
        (error,) = self.receive(frames.ANSWERS, 1)
        assert isinstance(error, PredictionFailed)
        self.assertEqual((error.code, error.message), (404, "no"))


class ConcurrentInferTests(InferMixin):
    """Asynchronous handlers."""

    mode = "concurrent"


class ContinuousInferTests(InferMixin):
    """Continuous batching."""

    mode = "continuous"


class EnvelopedTests(LoopTestCase):
    """Behind the envelope ``kservev2``, handlers get tensors and return results."""

    def call(self, message: bytes, handle: Any) -> Any:
        self.start(wrap("kservev2", handle), envelope="kservev2")
        self.send(1, self.job(message, flags=INFER))
        (answer,) = self.receive(frames.ANSWERS, 1)
        return answer

    def test_raw_contents(self) -> None:
        found = infer_answer(self.call(raw("FP32", RAW["FP32"]), lambda data, context: [data[0]["data"] * 2]))
        self.assertEqual((found.outputs[0].name, found.outputs[0].datatype), ("a", "FP32"))
        self.assertEqual([list(found.outputs[0].shape), found.model_version], [[2], "1.0"])
        self.assertEqual(list(found.raw_output_contents), [b"\0\0\x40\x40\0\0\0\xbf"])

    def test_typed_contents(self) -> None:
        message = typed("INT64", "int64_contents", [1, 2, 3, 4], (2, 2))
        found = infer_answer(self.call(message, lambda data, context: [data[0]["data"]]))
        self.assertEqual(list(found.outputs[0].shape), [2, 2])
        self.assertEqual(list(found.outputs[0].contents.int64_contents), [1, 2, 3, 4])

    def test_elements_of_bytes(self) -> None:
        found = infer_answer(self.call(raw("BYTES", RAW["BYTES"]), lambda data, context: [data[0]["data"]]))
        self.assertEqual(list(found.raw_output_contents), [RAW["BYTES"]])

    def test_shape_that_does_not_fit_is_the_clients_fault(self) -> None:
        error = self.call(raw("FP32", RAW["FP32"], (3,)), lambda data, context: [])
        self.assertIsInstance(error, BadRequest)

    def test_handlers_refusal_keeps_its_code(self) -> None:
        def handle(data: Data, context: Context) -> object:
            raise PredictionException("no", 404)

        error = self.call(raw("FP32", RAW["FP32"]), handle)
        assert isinstance(error, PredictionFailed)
        self.assertEqual((error.code, error.message), (404, "no"))

    def test_request_without_inputs_is_refused(self) -> None:
        error = self.call(type_of("oip.ModelInferRequest")(model_name="m").SerializeToString(), None)
        assert isinstance(error, PredictionFailed)
        self.assertEqual((error.code, "inputs" in error.message), (400, True))


del InferMixin
