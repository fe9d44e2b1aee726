"""The example's handler reads real digits, whatever their size and colours, and refuses the rest politely."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from typing import Any
from unittest import TestCase

from PIL import Image, ImageOps

from modelserver.examples import digits
from tests.harness.packages import needs_torch

FOLDER = Path(digits.__file__).parent


class HandlerContext:
    """The part of a worker's context that the handler uses."""

    def __init__(self, model_file: str | None, weights: str) -> None:
        self.system_properties = {"model_dir": str(FOLDER), "gpu_id": None}
        about = {"modelName": "digits", "serializedFile": weights}
        self.manifest = {"model": about if model_file is None else {**about, "modelFile": model_file}}
        self.statuses: dict[int, tuple[int, str]] = {}

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Keep the status of one row."""
        self.statuses[idx] = (code, phrase)


def load_handler(context: HandlerContext) -> Any:
    """The handler as a worker makes it: from its file alone, then initialized."""
    specification = importlib.util.spec_from_file_location("digits_handler_file", FOLDER / "handler.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    handler = module.DigitHandler()
    handler.initialize(context)
    return handler


def samples(number: int) -> list[bytes]:
    """The packaged pictures: the first, or the second, of each digit."""
    return [(FOLDER / "samples" / f"{digit}-{number}.png").read_bytes() for digit in range(10)]


def png(picture: Image.Image) -> bytes:
    """A picture as the bytes of a file."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def digits_of(answers: list[dict[str, Any]]) -> list[int]:
    """What was read."""
    return [answer["digit"] for answer in answers]


@needs_torch
class DigitHandlerTests(TestCase):
    """Pictures in, digits out, in order."""

    def setUp(self) -> None:
        self.context = HandlerContext(None, "digits.pt")
        self.handler = load_handler(self.context)

    def read(self, bodies: list[bytes]) -> list[dict[str, Any]]:
        """What the handler answers to a batch of these bodies."""
        answers: list[dict[str, Any]] = self.handler.handle([{"body": body} for body in bodies], self.context)
        return answers

    def test_ten_white_digits_are_read(self) -> None:
        answers = self.read(samples(1))
        right = sum(answer["digit"] == digit for digit, answer in enumerate(answers))
        self.assertGreaterEqual(right, 9)
        self.assertTrue(all(0.0 < answer["probability"] <= 1.0 for answer in answers))

    def test_ten_black_digits_on_white_are_read(self) -> None:
        right = sum(read == digit for digit, read in enumerate(digits_of(self.read(samples(2)))))
        self.assertGreaterEqual(right, 9)

    def test_colours_do_not_matter(self) -> None:
        inverted = [png(ImageOps.invert(Image.open(io.BytesIO(body)))) for body in samples(1)]
        self.assertEqual(self.read(inverted), self.read(samples(1)))

    def test_size_and_margin_do_not_matter(self) -> None:
        changed = []
        for body in samples(1):
            picture = Image.open(io.BytesIO(body))
            wide = Image.new("L", (200, 300), 0)
            wide.paste(picture.resize((128, 128), Image.Resampling.NEAREST), (20, 70))
            changed.append(png(wide))
        self.assertEqual(self.read(changed), self.read(samples(1)))

    def test_transparent_is_white(self) -> None:
        clear = []
        for body in samples(2):
            grey = Image.open(io.BytesIO(body))
            clear.append(png(Image.merge("LA", (Image.new("L", grey.size, 0), ImageOps.invert(grey)))))
        self.assertEqual(digits_of(self.read(clear)), digits_of(self.read(samples(2))))

    def test_tiny_picture_is_read(self) -> None:
        self.assertIn("digit", self.read([png(Image.frombytes("L", (2, 2), b"\0\xff\0\0"))])[0])

    def test_answers_are_json(self) -> None:
        self.assertIn('"digit": ', json.dumps(self.read(samples(1)[:1])))

    def test_bad_row_has_its_own_status_and_leaves_the_others(self) -> None:
        seven = samples(1)[7]
        alone = self.read([seven])[0]
        answers = self.read([b"no picture", seven, png(Image.new("L", (1, 1), 9)), seven[:90]])
        self.assertEqual(answers[1], alone)
        self.assertEqual(
            {0: 400, 2: 400, 3: 400}, {row: code for row, (code, _) in self.context.statuses.items()}
        )
        self.assertIn("the picture is empty", answers[2]["error"])

    def test_text_instead_of_bytes_is_refused(self) -> None:
        self.assertIn("error", self.handler.handle([{"data": "7"}], self.context)[0])
        self.assertEqual(self.context.statuses, {0: (400, "Bad Request")})


@needs_torch
class EagerDigitsTests(TestCase):
    """An archive with a model file and a state dict reads the same digits."""

    def test_same_answers_as_torchscript(self) -> None:
        script = HandlerContext(None, "digits.pt")
        eager = HandlerContext("model.py", "digits_state.pt")
        rows = [{"data": body} for body in samples(1)]
        self.assertEqual(load_handler(eager).handle(rows, eager), load_handler(script).handle(rows, script))
