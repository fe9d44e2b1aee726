"""One request of a batch is bad, the others are served."""

from __future__ import annotations

import json
from io import BytesIO

import pytest

from tests.harness.faults import WatchedServer
from tests.harness.obedient_models import PACKER
from tests.harness.packages import needs_torch

pytestmark = pytest.mark.xdist_group("worker faults")

ENVELOPED = """
from ts.torch_handler.request_envelope.{module} import {name}


def handle(data, context):
    return data and {name}(lambda rows, context: [7] * len(rows)).handle(data, context)
"""
IMAGES = """
from ts.torch_handler.image_classifier import ImageClassifier


class Brightest(ImageClassifier):
    def initialize(self, context):
        self.device, self.initialized = "cpu", True

    def inference(self, data):
        return data.mean(dim=(2, 3))
"""
CUSTOM = """
from ts.service import PredictionException, RowsRefused


def handle(data, context):
    if data is None:
        return None
    rows = [bytes(row["body"]) for row in data]
    refusals = {place: "no number" for place, row in enumerate(rows) if not row.isdigit()}
    if refusals:
        raise RowsRefused(refusals, 415)
    odd = PredictionException("even numbers only", 422)
    return [odd if int(row) % 2 else {"half": int(row) // 2, "of": len(rows)} for row in rows]
"""

GOOD = b'{"instances": [1]}'
GOOD_TENSOR = b'{"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]}'
DEEP = b"[" * 20_000


def codes(server: WatchedServer, model: str, source: str, bodies: list[bytes]) -> list[tuple[int, str]]:
    """What each request of one batch is answered: the batch leaves when it has all of them."""
    archive = PACKER.add_model(server, model, source).name
    registered = server.register(archive, model_name=model, batch_size=len(bodies), max_batch_delay=20000)
    assert registered.status == 200, registered.text
    return [(answer.status, answer.text) for answer in server.predict_together(model, bodies)]


@pytest.mark.parametrize(
    ("module", "name", "good", "odd"),
    [
        ("json", "JSONEnvelope", GOOD, b'{"instances":[{"b64":5}]}'),
        ("json", "JSONEnvelope", GOOD, DEEP),
        ("kserve", "KServeEnvelope", GOOD, DEEP),
        ("kservev2", "KServev2Envelope", GOOD_TENSOR, DEEP),
    ],
)
def test_odd_json_in_an_envelope(
    server: WatchedServer, model: str, module: str, name: str, good: bytes, odd: bytes
) -> None:
    """400 for the one, an answer for each of the others."""
    answers = codes(server, model, ENVELOPED.format(module=module, name=name), [good, odd, good])
    assert [code for code, _ in answers] == [200, 400, 200]
    assert "error" in json.loads(answers[1][1])


@needs_torch
def test_bytes_that_are_no_image(server: WatchedServer, model: str) -> None:
    """415 for them, and for no other image of the batch."""
    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (8, 8), (255, 0, 0)).save(buffer, "PNG")
    answers = codes(server, model, IMAGES, [buffer.getvalue(), b"no image", buffer.getvalue()])
    assert [code for code, _ in answers] == [200, 415, 200], answers
    assert json.loads(answers[1][1])["message"] == "The request is no image of a known format."


def test_custom_handlers_refuse_single_requests(server: WatchedServer, model: str) -> None:
    """By raising for some rows, and by an exception in the place of an answer."""
    answers = codes(server, model, CUSTOM, [b"4", b"x", b"3", b"8"])
    assert [code for code, _ in answers] == [200, 415, 422, 200], answers
    assert [json.loads(answers[at][1])["message"] for at in (1, 2)] == ["no number", "even numbers only"]
    assert [json.loads(answers[at][1]) for at in (0, 3)] == [{"half": 2, "of": 3}, {"half": 4, "of": 3}]
