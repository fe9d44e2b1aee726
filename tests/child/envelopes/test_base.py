"""Request envelopes: whole batches, broken requests in them, and the Open Inference Protocol's tensors."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.envelopes.base import BaseEnvelope
from modelserver.child.envelopes.select import wrap
from modelserver.child.envelopes.tensors import describe, flatten, from_binary, is_shape, reshape, to_binary


class EnvelopeTestCase(SynchronousTestCase):
    """Calls a handler that remembers its rows through an envelope."""

    def setUp(self) -> None:
        self.seen: list[Any] = []

    def context_for(self, count: int, headers: dict[int, dict[str, str]] | None = None) -> Context:
        """A context with ``count`` requests."""
        manifest: dict[str, object] = {"model": {"modelName": "m", "modelVersion": "1.0"}}
        context = Context("m", "/d", manifest, 4, None, "1")
        context.request_ids = {place: f"id-{place}" for place in range(count)}
        context.request_processor = [RequestProcessor((headers or {}).get(at, {})) for at in range(count)]
        return context

    def call(
        self, name: str, data: Sequence[object], context: Context | None = None, result: object = None
    ) -> Any:
        """What the envelope answers; the handler returns its rows, or ``result``."""

        def handle(rows: object, context: Context) -> object:
            self.seen.append(rows)
            self.contexts = getattr(self, "contexts", [])
            self.contexts.append(context)
            return rows if result is None else result

        self.context = context or self.context_for(len(data))
        return wrap(name, handle)(data, self.context)


class SimpleEnvelopeTests(EnvelopeTestCase):
    """The envelopes body, json and kserve."""

    def test_unknown_envelope(self) -> None:
        self.assertRaises(ValueError, wrap, "paper", len)

    def test_body(self) -> None:
        self.assertEqual(
            self.call("body", [{"data": 1}, {"body": b"2"}, {"data": 0, "body": 3}]), [1, b"2", 0]
        )

    def test_json_flattens_the_batch_and_splits_the_results(self) -> None:
        answers = self.call(
            "json",
            [{"body": {"instances": [1, 2]}}, {"data": '{"instances": []}'}, {"body": b'{"instances": [3]}'}],
        )
        self.assertEqual(self.seen, [[1, 2, 3]])
        self.assertEqual(
            [json.loads(answer) for answer in answers],
            [{"predictions": [1, 2]}, {"predictions": []}, {"predictions": [3]}],
        )

    def test_json_decodes_base64(self) -> None:
        text = {"b64": b64encode(b"hi").decode()}
        self.call("json", [{"body": {"instances": [text, {"image": text, "size": 1}]}}], result=[1, 2])
        self.assertEqual(self.seen, [[b"hi", {"image": b"hi", "size": 1}]])

    def test_json_takes_arrays(self) -> None:
        (answer,) = self.call("json", [{"body": {"instances": [1]}}], result=[numpy.array([1.5, 2.0])])
        self.assertEqual(json.loads(answer), {"predictions": [[1.5, 2.0]]})

    def test_kserve_serves_the_whole_batch(self) -> None:
        answers = self.call(
            "kserve", [{"body": {"instances": [1]}}, {"body": {"instances": [{"b64": "eA=="}, 3]}}]
        )
        self.assertEqual(self.seen, [[1, {"b64": "eA=="}, 3]])
        self.assertEqual(answers, [{"predictions": [1]}, {"predictions": [{"b64": "eA=="}, 3]}])

    def test_kserve_explains(self) -> None:
        context = self.context_for(2, {1: {"explain": "True"}})
        answers = self.call("kserve", [{"body": {"instances": [1]}}, {"body": {"instances": [2]}}], context)
        self.assertEqual(answers, [{"predictions": [1]}, {"explanations": [2]}])

    def test_single_request_takes_whatever_the_handler_returns(self) -> None:
        self.assertEqual(
            self.call("kserve", [{"body": {"instances": [1, 2]}}], result=[9]), [{"predictions": [9]}]
        )

    def test_results_that_do_not_fit_fail_the_batch(self) -> None:
        batch: list[object] = [{"body": {"instances": [1]}}, {"body": {"instances": [2]}}]
        for result in ([1], [1, 2, 3], "no list"):
            error = self.assertRaises(PredictionException, self.call, "kserve", batch, None, result)
            self.assertEqual(error.error_code, 503)

    def test_broken_request_spoils_no_other(self) -> None:
        for name in ("kserve", "json"):
            answers = self.call(name, [{"body": b"{"}, {"body": {"instances": [7]}}, {"body": {"other": 1}}])
            self.assertEqual(self.seen.pop(), [7])
            self.assertIn("7", str(answers[1]))
            self.assertEqual([sorted(answers[at]) for at in (0, 2)], [["error"], ["error"]])
            self.assertEqual([self.context.get_response_status(at)[0] for at in range(3)], [400, 200, 400])
            self.assertEqual(self.contexts[-1].get_request_id(0), "id-1")

    def test_context_of_a_handlers_own_tests_need_not_know_its_requests(self) -> None:
        class Minimal:
            manifest = None

        context: Any = Minimal()
        inputs = [{"body": {"inputs": [tensor("x", [1], "INT64", [7])]}}]
        for name, data, wanted in (
            ("kserve", [{"body": {"instances": [7]}}], [{"predictions": [7]}]),
            ("kserve", [{"body": 7}], [{"error": 'The request is not JSON with a list of "instances".'}]),
        ):
            self.assertEqual(wrap(name, lambda rows, context: rows)(data, context), wanted)
        answers: Any = wrap("kservev2", lambda rows, context: [7])(inputs, context)
        self.assertEqual(answers[0]["outputs"][0]["data"], [7])

    def test_nothing_to_serve(self) -> None:
        self.assertEqual(len(self.call("kserve", [{"body": b"{"}])), 1)
        self.assertEqual(self.seen, [])

    def test_envelope_of_ones_own(self) -> None:
        class Doubled(BaseEnvelope):
            def parse_input(self, data: Any) -> object:
                return [row["body"] * 2 for row in data]

            def format_output(self, data: Any) -> object:
                return [str(item) for item in data]

        context = self.context_for(1)
        self.assertEqual(Doubled(lambda rows, context: rows).handle([{"body": 2}], context), ["4"])

    @given(st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=6))
    def test_every_instance_comes_back_to_its_request(self, batch: list[list[int]]) -> None:
        self.seen.clear()
        answers = self.call("kserve", [{"body": {"instances": instances}} for instances in batch])
        self.assertEqual(answers, [{"predictions": instances} for instances in batch])
        self.assertEqual(self.seen, [[item for instances in batch for item in instances]])


def tensor(
    name: str, shape: Sequence[object], datatype: str, data: object, **more: object
) -> dict[str, object]:
    """An input of the protocol."""
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


class OpenInferenceTests(EnvelopeTestCase):
    """The envelope kservev2."""

    def test_single_request(self) -> None:
        inputs = [tensor("a", [2, 2], "FP32", [1, 2, 3, 4]), tensor("b", [1], "BYTES", ["xx"])]
        (answer,) = self.call(
            "kservev2", [{"body": {"id": "q", "inputs": inputs}}], result=[[1, 2], numpy.array([[1.5]])]
        )
        self.assertEqual(
            self.seen, [[tensor("a", [2, 2], "FP32", [[1, 2], [3, 4]]), tensor("b", [1], "BYTES", "xx")]]
        )
        self.assertEqual(
            answer,
            {
                "id": "q",
                "model_name": "m",
                "model_version": "1.0",
                "outputs": [
                    {"name": "a", "datatype": "INT64", "shape": [2], "data": [1, 2]},
                    {"name": "b", "datatype": "FP64", "shape": [1, 1], "data": [1.5]},
                ],
            },
        )
        self.assertEqual(vars(self.context)["input_names"], ["a", "b"])

    def test_requests_of_one_tensor_are_one_batch(self) -> None:
        batch = [{"body": {"inputs": [tensor("x", [1], "INT64", [at])]}} for at in range(3)]
        answers = self.call("kservev2", batch, result=[10, 11, 12])
        self.assertEqual(len(self.seen), 1)
        self.assertEqual([answer["outputs"][0]["data"] for answer in answers], [[10], [11], [12]])
        self.assertEqual([answer["id"] for answer in answers], ["id-0", "id-1", "id-2"])

    def test_tensors_that_belong_together_stay_together(self) -> None:
        pair = {"inputs": [tensor("x", [1], "INT64", [1]), tensor("y", [1], "INT64", [2])]}
        answers = self.call("kservev2", [{"body": pair}, {"body": pair}], result=[3])
        self.assertEqual([len(rows) for rows in self.seen], [2, 2])
        self.assertEqual([context.get_request_id(0) for context in self.contexts], ["id-0", "id-1"])
        self.assertEqual([answer["outputs"][0]["name"] for answer in answers], ["x", "x"])

    def test_wrong_number_of_results(self) -> None:
        batch = [{"body": {"inputs": [tensor("x", [1], "INT64", [at])]}} for at in range(2)]
        self.assertRaises(PredictionException, self.call, "kservev2", batch, None, [1])
        self.assertRaises(PredictionException, self.call, "kservev2", batch, None, "x")

    def test_broken_requests_are_refused_alone(self) -> None:
        good = {"inputs": [tensor("x", [1], "INT64", [1])]}
        bad: list[object] = [
            b"{",
            {},
            {"inputs": []},
            {"inputs": [1]},
            {"inputs": [{"name": "x"}]},
            {"inputs": [tensor("x", [2], "INT64", [1])]},
            {"inputs": [tensor("x", ["2"], "INT64", [1])]},
        ]
        answers = self.call("kservev2", [{"body": body} for body in [good, *bad]])
        self.assertEqual(len(self.seen), 1)
        self.assertIn("outputs", answers[0])
        self.assertEqual([sorted(answer) for answer in answers[1:]], [["error"]] * len(bad))
        self.assertEqual(
            [self.context.get_response_status(at)[0] for at in range(len(answers))], [200] + [400] * len(bad)
        )

    def test_outputs_are_named_as_asked(self) -> None:
        body = {"inputs": [tensor("x", [1], "INT64", [1])], "outputs": [{"name": "label"}]}
        (answer,) = self.call("kservev2", [{"body": body}], result=[1, 2])
        self.assertEqual([output["name"] for output in answer["outputs"]], ["label", "output_1"])

    def test_kinds_of_results(self) -> None:
        for result, datatype, data, shape in (
            ("x", "BYTES", ["x"], [1]),
            (b"x", "BYTES", ["x"], [1]),
            (True, "BOOL", [True], [1]),
            ([1, 2.5], "FP64", [1, 2.5], [2]),
            ([["a"]], "BYTES", ["a"], [1, 1]),
            ({"k": 1}, "BYTES", [{"k": 1}], [1]),
            (numpy.float32(2), "FP32", [2.0], [1]),
            (numpy.zeros((2, 1), "uint8"), "UINT8", [0, 0], [2, 1]),
            (numpy.array([1, 2], ">i4"), "INT32", [1, 2], [2]),
        ):
            self.assertEqual((*describe(result), flatten(result)), (datatype, shape, data))

    def test_binary_tensors_both_ways(self) -> None:
        raw = numpy.array([[1.5, 2.5]], "<f4").tobytes()
        head = json.dumps(
            {
                "inputs": [
                    {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
                ],
                "parameters": {"binary_data_output": True},
            }
        ).encode()
        context = self.context_for(1, {0: {"inference-header-content-length": str(len(head))}})
        (answer,) = self.call(
            "kservev2", [{"body": bytearray(head + raw)}], context, [numpy.array([7], "int32")]
        )
        ((row,),) = self.seen
        self.assertEqual((row["data"].tolist(), row["data"].dtype), ([[1.5, 2.5]], numpy.float32))
        length = int(context.get_response_headers(0)["Inference-Header-Content-Length"])
        (output,) = json.loads(answer[:length])["outputs"]
        self.assertEqual(
            output, {"name": "x", "datatype": "INT32", "shape": [1], "parameters": {"binary_data_size": 4}}
        )
        self.assertEqual(answer[length:], b"\x07\0\0\0")

    def test_sizes_of_torchserves_examples(self) -> None:
        examples = (
            tensor("x", [-1], "BYTES", ["aGk="]),
            {**tensor("x", [], "BYTES", []), "shape": -1, "data": "a text"},
            {**tensor("x", [], "INT64", [101, 102]), "shape": 2},
            tensor("x", [-1, 2], "FP32", [1.0, 2.0, 3.0, 4.0]),
        )
        for example in examples:
            self.call("kservev2", [{"body": {"inputs": [example]}}], result=[0])
        found = [rows[0]["data"] for rows in self.seen]
        self.assertEqual(found, ["aGk=", "a text", [101, 102], [[1.0, 2.0], [3.0, 4.0]]])

    def test_binary_for_some_outputs(self) -> None:
        body = {
            "inputs": [tensor("x", [1], "INT64", [1])],
            "outputs": [{"name": "a"}, {"name": "b", "parameters": {"binary_data": True}}],
        }
        (answer,) = self.call("kservev2", [{"body": body}], result=[1, ["é", "z"]])
        length = int(self.context.get_response_headers(0)["Inference-Header-Content-Length"])
        first, second = json.loads(answer[:length])["outputs"]
        self.assertEqual(first["data"], [1])
        self.assertEqual(second["parameters"], {"binary_data_size": 11})
        self.assertEqual(answer[length:], b"\2\0\0\0\xc3\xa9\1\0\0\0z")

    def test_binary_that_does_not_fit(self) -> None:
        part = {"name": "x", "shape": [2], "datatype": "INT8", "parameters": {"binary_data_size": 2}}
        for change, tail in (
            ({}, b"x"),
            ({"datatype": "WORD"}, b"xy"),
            ({"shape": [3]}, b"xy"),
            ({"datatype": "BYTES"}, b"xy"),
        ):
            head = json.dumps({"inputs": [{**part, **change}]}).encode()
            context = self.context_for(1, {0: {"Inference-Header-Content-Length": str(len(head))}})
            (answer,) = self.call("kservev2", [{"body": head + tail}], context)
            self.assertIn("error", answer)
        context = self.context_for(1, {0: {"Inference-Header-Content-Length": "99"}})
        self.assertIn("error", self.call("kservev2", [{"body": b"{}"}], context)[0])


class TensorTests(SynchronousTestCase):
    """Laws of tensors."""

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=3))
    def test_reshape_is_numpys(self, shape: list[int]) -> None:
        count = int(numpy.prod(shape))
        flat = list(range(count))
        nested = reshape(flat, shape)
        self.assertEqual(flatten(nested), flat)
        if count:
            self.assertEqual(nested, numpy.array(flat).reshape(shape).tolist())
            self.assertEqual(reshape(nested, [count]), flat)
            for place in range(len(shape)):
                before, behind = shape[:place], shape[place + 1 :]
                if 0 not in [*before, *behind]:
                    self.assertEqual(reshape(flat, [*before, -1, *behind]), nested)

    def test_size_that_cannot_be_told(self) -> None:
        for count, shape in ((3, [2, -1]), (1, [0, -1]), (2, [1 << 60] * 10_000 + [-1]), (4, [-1, -1])):
            with self.subTest(shape=shape[:3]), self.assertRaises(ValueError):
                reshape(list(range(count)), shape)
        self.assertFalse(is_shape([-1, -1]) or is_shape([-2]) or is_shape([True]))

    def test_reshape_with_a_huge_empty_shape(self) -> None:
        self.assertEqual(reshape([], [10**12, 0]), [])

    @given(st.lists(st.binary(max_size=5), max_size=5))
    def test_bytes_survive(self, items: list[bytes]) -> None:
        raw = to_binary("BYTES", items)
        back = from_binary("BYTES", memoryview(raw), [len(items)])
        self.assertEqual(back, items[0] if len(items) == 1 else items)

    @given(st.lists(st.floats(width=32, allow_nan=False), max_size=6))
    def test_numbers_survive(self, values: list[float]) -> None:
        array = numpy.array(values, "float32")
        back: Any = from_binary("FP32", memoryview(to_binary("FP32", array)), [len(values)])
        self.assertEqual(back.tolist(), array.tolist())

    def test_layouts_of_results(self) -> None:
        table = numpy.arange(6, dtype="float32").reshape(2, 3)
        for result in (table.T, numpy.asfortranarray(table), table[:, ::-2], table.astype(">f4")):
            datatype, shape = describe(result)
            back: Any = from_binary(datatype, memoryview(to_binary(datatype, result)), shape)
            self.assertEqual((datatype, back.tolist()), ("FP32", result.tolist()))

    def test_tensors_that_numpy_does_not_take_as_they_are(self) -> None:
        torch = pytest.importorskip("torch")
        for result, values in (
            (torch.tensor([1 + 2j]).conj().imag, [-2.0]),
            (torch.ones(1, requires_grad=True), [1.0]),
            (torch.tensor([1.5], dtype=torch.bfloat16), [1.5]),
            (torch.arange(4.0).reshape(2, 2).T, [0.0, 2.0, 1.0, 3.0]),
        ):
            (datatype, _), raw = describe(result), to_binary("FP32", result)
            self.assertEqual((datatype, numpy.frombuffer(raw, "<f4").tolist()), ("FP32", values))

    def test_bfloat16(self) -> None:
        back: Any = from_binary("BF16", memoryview(b"\xc0\x3f\x00\xc0"), [2])
        self.assertEqual(back.tolist(), [1.5, -2.0])
