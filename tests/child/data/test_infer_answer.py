"""From what a handler returns to a message of the Open Inference Protocol."""

from __future__ import annotations

import json
import struct
from typing import Any
from unittest import TestCase

from modelserver.child.data.infer_answer import InferAnswerInvalid, InferEncoder
from modelserver.child.data.infer_request import InferDocument
from tests.child.data.test_infer_request import RAW, TYPED, raw, typed
from tests.harness.rpc_messages import type_of


def encoder(is_raw: bool = False) -> InferEncoder:
    message = raw("FP32", RAW["FP32"]) if is_raw else typed("INT32", "int_contents", [1, 2])
    document = InferDocument(message)
    return InferEncoder(document, "1.0", document.is_raw)


def output(datatype: str, data: object, **more: object) -> dict[str, object]:
    return {"name": "o", "datatype": datatype, "shape": [2], "data": data, **more}


def answer(encode: InferEncoder, *outputs: dict[str, object], **more: object) -> Any:
    return type_of("oip.ModelInferResponse").FromString(encode({"outputs": list(outputs), **more}))


class EncoderTests(TestCase):
    """``InferEncoder``."""

    def test_typed_contents_of_every_datatype(self) -> None:
        for datatype, field, values in TYPED:
            with self.subTest(datatype):
                found = answer(encoder(), output(datatype, values))
                self.assertEqual(list(getattr(found.outputs[0].contents, field)), values)
                self.assertEqual((found.outputs[0].datatype, list(found.outputs[0].shape)), (datatype, [2]))
                self.assertFalse(found.raw_output_contents)

    def test_raw_contents_of_every_datatype(self) -> None:
        for datatype, content in RAW.items():
            with self.subTest(datatype):
                values = {name: values for name, _, values in TYPED}.get(datatype, [1.5, -2.0])
                data = ["\udcffab", ""] if datatype == "BYTES" else values
                found = answer(encoder(is_raw=True), output(datatype, data))
                self.assertEqual(list(found.raw_output_contents), [content])
                self.assertFalse(found.outputs[0].HasField("contents"))

    def test_bytes_are_texts_without_quotes(self) -> None:
        found = answer(encoder(), output("BYTES", ["grüß", b"\xff", 5]))
        self.assertEqual(list(found.outputs[0].contents.bytes_contents), ["grüß".encode(), b"\xff", b"5"])

    def test_half_floats_leave_as_bytes_and_all_others_with_them(self) -> None:
        found = answer(encoder(), output("FP16", [1.5, -2.0]), output("INT8", [1, 2]))
        self.assertEqual(list(found.raw_output_contents), [struct.pack("<2e", 1.5, -2.0), b"\1\2"])

    def test_nested_data(self) -> None:
        found = answer(encoder(), output("INT64", [[1, 2], [3, 4]], shape=[2, 2]))
        self.assertEqual(list(found.outputs[0].contents.int64_contents), [1, 2, 3, 4])

    def test_names_are_the_requests_where_the_answer_has_none(self) -> None:
        found = answer(encoder(), output("INT8", [1, 2]))
        self.assertEqual((found.model_name, found.model_version, found.id), ("m", "1.0", "7"))
        found = answer(encoder(), output("INT8", [1, 2]), model_name="n", model_version="3", id="x")
        self.assertEqual((found.model_name, found.model_version, found.id), ("n", "3", "x"))

    def test_parameters(self) -> None:
        given = {"b": True, "i": -3, "f": 0.5, "s": "", "other": [1]}
        found = answer(encoder(), output("INT8", [1, 2], parameters=given), parameters=given)
        for parameters in (found.parameters, found.outputs[0].parameters):
            self.assertEqual(set(parameters), {"b", "i", "f", "s"})
            self.assertEqual((parameters["b"].bool_param, parameters["i"].int64_param), (True, -3))
            self.assertEqual(parameters["f"].double_param, 0.5)
            self.assertEqual(parameters["s"].WhichOneof("parameter_choice"), "string_param")

    def test_json_text_is_an_answer_and_nothing_is_an_empty_part(self) -> None:
        text = json.dumps({"outputs": [output("INT8", [1, 2])]})
        for given in (text, text.encode()):
            self.assertTrue(type_of("oip.ModelInferResponse").FromString(encoder()(given)).outputs)
        self.assertEqual(encoder()(b""), b"")

    def test_what_is_no_answer_is_named(self) -> None:
        for given, told in (
            ([1], "outputs"),
            ("[", "no JSON"),
            ({"outputs": 5}, "outputs"),
            ({"outputs": [{"name": "o", "shape": [1]}]}, "datatype, data"),
            ({"outputs": [output("FP8", [1])]}, "FP8"),
            ({"outputs": [output("INT8", [300])]}, "fit its datatype"),
            ({"outputs": [output("INT8", ["a"])]}, "fit its datatype"),
            ({"outputs": [output("INT8", [1], shape=5)]}, "shape"),
        ):
            with self.subTest(given), self.assertRaisesRegex(InferAnswerInvalid, told):
                encoder()(given)

    def test_exception_is_no_answer(self) -> None:
        with self.assertRaises(TypeError):
            encoder()(ValueError("x"))
