"""Bytes travel to peers and back whole."""

from __future__ import annotations

import json
from base64 import b64encode
from unittest import TestCase

from hypothesis import given
from hypothesis import strategies as st

from bench.today.formats import JSON_ARRAY, JSON_STRING, OPEN_INFERENCE, RAW, UNKNOWN


def text(data: bytes) -> str:
    """Return bytes as JSON carries them."""
    return b64encode(data).decode()


class FormatTests(TestCase):
    """What a server makes of a request, and what is read from its answer."""

    @given(st.binary())
    def test_raw_bytes_stay_as_they_are(self, data: bytes) -> None:
        for raw in (RAW, UNKNOWN):
            self.assertEqual((raw.encode(data), raw.decode(data)), (data, data))

    @given(st.binary())
    def test_a_string_of_json(self, data: bytes) -> None:
        self.assertEqual(json.loads(JSON_STRING.encode(data)), text(data))
        self.assertEqual(JSON_STRING.decode(text(data).encode()), data)

    @given(st.binary())
    def test_a_list_for_batches(self, data: bytes) -> None:
        self.assertEqual(json.loads(JSON_ARRAY.encode(data)), {"texts": [text(data)]})
        self.assertEqual(JSON_ARRAY.decode(json.dumps([text(data)]).encode()), data)

    @given(st.binary())
    def test_a_tensor_of_the_open_inference_protocol(self, data: bytes) -> None:
        tensor = json.loads(OPEN_INFERENCE.encode(data))["inputs"][0]
        self.assertEqual((tensor["datatype"], tensor["shape"]), ("BYTES", [1]))
        answer = {"outputs": [{**tensor, "name": "y"}]}
        self.assertEqual(OPEN_INFERENCE.decode(json.dumps(answer).encode()), data)
