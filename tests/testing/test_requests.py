"""Requests for tests of handlers are what clients send: the worker's decoder reads them."""

from __future__ import annotations

import json

import numpy
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.data.decoder import Decoder
from modelserver.protocol import frames
from modelserver.testing import ModelRequest, form, infer, json_body, multipart, raw


def row_of(request: ModelRequest) -> dict[str, object]:
    """The row that a handler gets."""
    decoder = Decoder(decodes=True)
    block = "".join(f"{name}: {value}\r\n" for name, value in request.all_headers.items()).encode()
    return decoder.row(decoder.head(block), frames.Item(bytes(16), block, b"", request.body, 0)).row


class RequestTests(SynchronousTestCase):
    """What each builder makes."""

    def test_raw_bytes_stay_bytes_and_text_is_text(self) -> None:
        self.assertEqual({"body": bytearray(b"\x00")}, row_of(raw(b"\x00")))
        self.assertEqual({"body": "hallo"}, row_of(raw("hallo", "text/plain")))

    def test_without_a_content_type(self) -> None:
        self.assertEqual({}, raw(b"x", None).all_headers)

    def test_json_is_decoded(self) -> None:
        self.assertEqual({"body": {"a": [1]}}, row_of(json_body({"a": [1]})))

    def test_forms(self) -> None:
        self.assertEqual(
            {"a": bytearray(b"1 & 2"), "b": bytearray(b"")}, row_of(form({"a": "1 & 2", "b": ""}))
        )
        row = row_of(multipart({"a": "1"}, {"data": b"\r\n--", "p": ("p.json", b"{}", "application/json")}))
        self.assertEqual({"a": bytearray(b"1"), "data": bytearray(b"\r\n--"), "p": {}}, row)

    def test_query(self) -> None:
        self.assertEqual("?a=1+2", ModelRequest(query={"a": "1 2"}).query_string)
        self.assertEqual("", ModelRequest().query_string)

    def test_tensors_of_the_open_inference_protocol(self) -> None:
        request = infer({"x": numpy.array([[1.0, 2.0]], ">f4"), "t": ["a", "b"]}, id="7")
        document = json.loads(request.body)
        self.assertEqual("7", document["id"])
        self.assertEqual(
            [
                {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 2.0]},
                {"name": "t", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
            ],
            document["inputs"],
        )

    def test_a_type_that_the_protocol_has_not(self) -> None:
        self.assertRaises(ValueError, infer, {"x": numpy.array([1j])})
