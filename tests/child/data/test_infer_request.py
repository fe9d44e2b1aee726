"""Messages of the Open Inference Protocol as handlers and envelopes get them."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from typing import Any, cast
from unittest import TestCase

import numpy
from hypothesis import given
from hypothesis import strategies as st

from modelserver.child.data.infer_request import ELEMENTS, InferDocument
from tests.harness.rpc_messages import type_of

TYPED: tuple[tuple[str, str, list[Any]], ...] = (
    ("BOOL", "bool_contents", [True, False]),
    ("INT8", "int_contents", [-128, 127]),
    ("INT16", "int_contents", [-32768, 5]),
    ("INT32", "int_contents", [-(1 << 31), (1 << 31) - 1]),
    ("INT64", "int64_contents", [-(1 << 63), (1 << 63) - 1]),
    ("UINT8", "uint_contents", [0, 255]),
    ("UINT16", "uint_contents", [0, 65535]),
    ("UINT32", "uint_contents", [0, (1 << 32) - 1]),
    ("UINT64", "uint64_contents", [0, (1 << 64) - 1]),
    ("FP32", "fp32_contents", [1.5, -0.25]),
    ("FP64", "fp64_contents", [1e300, -0.1]),
)
RAW: dict[str, bytes] = {
    **{name: struct.pack(f"<2{ELEMENTS[name].code}", *values) for name, _, values in TYPED},
    "FP16": struct.pack("<2e", 1.5, -2.0),
    "BF16": struct.pack("<f", 1.5)[2:] + struct.pack("<f", -2.0)[2:],
    "BYTES": struct.pack("<I3sI0s", 3, b"\xffab", 0, b""),
}
VALUES: dict[str, list[Any]] = {
    **{name: values for name, _, values in TYPED},
    "FP16": [1.5, -2.0],
    "BF16": [1.5, -2.0],
    "BYTES": [b64encode(b"\xffab").decode(), ""],
}


def typed(datatype: str, field: str, values: list[Any], shape: tuple[int, ...] = (2,)) -> bytes:
    request = type_of("oip.ModelInferRequest")(model_name="m", id="7")
    tensor = request.inputs.add(name="a", datatype=datatype, shape=shape)
    getattr(tensor.contents, field).extend(values)
    data: bytes = request.SerializeToString()
    return data


def raw(datatype: str, content: bytes, shape: tuple[int, ...] = (2,)) -> bytes:
    request = type_of("oip.ModelInferRequest")(model_name="m")
    request.inputs.add(name="a", datatype=datatype, shape=shape)
    request.raw_input_contents.append(content)
    data: bytes = request.SerializeToString()
    return data


class HandlerTests(TestCase):
    """Without an envelope, a handler gets the JSON of the protocol."""

    def test_typed_contents_of_every_datatype(self) -> None:
        for datatype, field, values in (*TYPED, ("BYTES", "bytes_contents", [b"\xffab", b""])):
            with self.subTest(datatype):
                document = InferDocument(typed(datatype, field, values))
                self.assertEqual(
                    json.loads(json.dumps(document)),
                    {
                        "id": "7",
                        "model_name": "m",
                        "inputs": [
                            {"name": "a", "shape": [2], "datatype": datatype, "data": VALUES[datatype]}
                        ],
                    },
                )

    def test_raw_contents_of_every_datatype(self) -> None:
        self.assertEqual(set(RAW), set(ELEMENTS))
        for datatype, content in RAW.items():
            with self.subTest(datatype):
                document = InferDocument(raw(datatype, content))
                self.assertTrue(document.is_raw)
                (tensor,) = json.loads(json.dumps(document))["inputs"]
                self.assertEqual(tensor["data"], VALUES[datatype])

    def test_numbers_that_are_not_packed(self) -> None:
        # Each value in a field of its own: older writers do so, and readers have to understand it.
        contents = b"\x18\x05\x18\x06"
        tensor = b"\x0a\x01a\x12\x05INT64\x18\x02\x2a" + bytes([len(contents)]) + contents
        document = InferDocument(b"\x2a" + bytes([len(tensor)]) + tensor)
        (found,) = json.loads(json.dumps(document))["inputs"]
        self.assertEqual((found["shape"], found["data"]), ([2], [5, 6]))

    def test_parameters_and_outputs(self) -> None:
        request = type_of("oip.ModelInferRequest")(model_name="m", model_version="2.0")
        request.parameters["b"].bool_param = True
        request.parameters["i"].int64_param = -3
        request.parameters["s"].string_param = "x"
        request.parameters["d"].double_param = 0.5
        request.parameters["u"].uint64_param = (1 << 64) - 1
        request.inputs.add(name="a", datatype="INT32").parameters["k"].int64_param = 1
        request.outputs.add(name="o").parameters["classification"].int64_param = 2
        document = InferDocument(request.SerializeToString())
        self.assertEqual(document["parameters"], {"b": True, "i": -3, "s": "x", "d": 0.5, "u": (1 << 64) - 1})
        self.assertEqual(document["model_version"], "2.0")
        self.assertEqual(document["outputs"], [{"name": "o", "parameters": {"classification": 2}}])
        (tensor,) = json.loads(json.dumps(document))["inputs"]
        self.assertEqual(tensor["parameters"], {"k": 1})

    def test_tensors_in_memory_of_the_client_are_refused(self) -> None:
        request = type_of("oip.ModelInferRequest").FromString(raw("FP32", RAW["FP32"]))
        for place in (request.inputs[0], request.outputs.add(name="o")):
            place.parameters["shared_memory_region"].string_param = "mine"
            with self.assertRaisesRegex(ValueError, "shared memory"):
                InferDocument(request.SerializeToString())
            del place.parameters["shared_memory_region"]
        InferDocument(request.SerializeToString())

    def test_empty_tensors_and_scalars(self) -> None:
        for shape, content, elements in (((0, 3), b"", []), ((), b"\x07", [7]), ((1, 1), b"\x07", [7])):
            document = InferDocument(raw("UINT8", content, shape))
            self.assertEqual(document["inputs"][0]["data"], elements)  # type: ignore[index]  # a list of dicts

    def test_message_may_lie_in_shared_memory(self) -> None:
        message = bytearray(raw("FP32", RAW["FP32"]))
        document = InferDocument(memoryview(message))
        message[:] = bytes(len(message))
        self.assertEqual(document["inputs"][0]["data"], [1.5, -0.25])  # type: ignore[index]  # a list of dicts

    def test_what_does_not_fit_is_refused(self) -> None:
        both = type_of("oip.ModelInferRequest").FromString(typed("INT32", "int_contents", [1, 2]))
        both.raw_input_contents.append(RAW["INT32"])
        for what, message in (
            ("no message", b"\x0a\x09x"),
            ("an unknown datatype", typed("FP8", "fp32_contents", [1.0])),
            ("no contents for the datatype", typed("FP16", "fp32_contents", [1.0])),
            ("half an element", raw("FP32", b"12345")),
            ("a length that leads out", raw("BYTES", b"\xff\0\0\0a")),
            ("more raw contents than inputs", raw("FP32", RAW["FP32"]) + b"\x3a\x00"),
            ("both forms", both.SerializeToString()),
            ("fewer elements than the shape says", raw("FP32", RAW["FP32"], (5, 5))),
            ("more of them", raw("FP32", RAW["FP32"], (1,))),
            ("more than none", raw("FP32", RAW["FP32"], (2, 0))),
            ("a size that is none", raw("FP32", RAW["FP32"], (-1, -2))),
            ("an endless shape", raw("FP32", RAW["FP32"], (1 << 60,) * 10_000)),
        ):
            with self.subTest(what), self.assertRaises(ValueError):
                InferDocument(message)


class EnvelopeTests(TestCase):
    """An envelope gets tensors in their shapes."""

    def test_raw_contents_are_arrays(self) -> None:
        for datatype, content in RAW.items():
            with self.subTest(datatype):
                (tensor,) = InferDocument(raw(datatype, content), opens=True).tensors
                if datatype == "BYTES":
                    self.assertEqual(tensor["data"], [b"\xffab", b""])
                else:
                    assert isinstance(tensor["data"], numpy.ndarray)
                    self.assertEqual(tensor["data"].tolist(), VALUES[datatype])

    def test_typed_contents_are_nested_lists(self) -> None:
        message = typed("INT64", "int64_contents", [1, 2, 3, 4], (2, 2))
        (tensor,) = InferDocument(message, opens=True).tensors
        self.assertEqual(tensor["data"], [[1, 2], [3, 4]])

    def test_a_size_may_be_left_open(self) -> None:
        message = typed("INT64", "int64_contents", [1, 2, 3, 4], (2, -1))
        self.assertEqual(InferDocument(message, opens=True).tensors[0]["data"], [[1, 2], [3, 4]])
        packed = raw("FP32", RAW["FP32"], (-1,))
        (tensor,) = InferDocument(packed, opens=True).tensors
        assert isinstance(tensor["data"], numpy.ndarray)
        self.assertEqual(tensor["data"].tolist(), VALUES["FP32"])
        (plain,) = cast("list[dict[str, object]]", InferDocument(packed)["inputs"])
        self.assertEqual(plain["data"], VALUES["FP32"])

    @given(st.data(), st.booleans())
    def test_damage_is_refused_or_read_and_nothing_worse(self, data: st.DataObject, opens: bool) -> None:
        whole = data.draw(
            st.sampled_from([typed(*TYPED[3]), raw("FP32", RAW["FP32"]), raw("BYTES", RAW["BYTES"])])
        )
        at = data.draw(st.integers(0, len(whole) - 1))
        piece = data.draw(st.binary(max_size=3))
        damaged = whole[:at] + piece + whole[at + data.draw(st.integers(0, 3)) :]
        try:
            InferDocument(damaged, opens)
        except ValueError:
            pass

    def test_elements_have_to_fill_the_shape(self) -> None:
        for message in (
            typed("INT64", "int64_contents", [1], (1,) * 5000),
            raw("UINT8", b"1", (1,) * 5000),
            typed("INT64", "int64_contents", [1, 2, 3]),
            raw("FP32", RAW["FP32"], (3,)),
            raw("FP32", RAW["FP32"], (-1, -1)),
            raw("FP32", RAW["FP32"], (-2,)),
        ):
            with self.subTest(message), self.assertRaises(ValueError):
                InferDocument(message, opens=True)
