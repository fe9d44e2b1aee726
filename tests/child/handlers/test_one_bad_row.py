"""Built-in handlers in batches of which one row cannot be opened."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

from PIL import Image
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.data.refusals import RowsRefused
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.explanations import targets
from modelserver.child.handlers.image_classifier import ImageClassifier
from modelserver.child.handlers.image_segmenter import ImageSegmenter
from modelserver.child.handlers.image_transforms import Resize, open_image
from modelserver.child.handlers.micro_batching import MicroBatching
from modelserver.child.handlers.model_service import SingleNodeService
from modelserver.child.handlers.object_detector import ObjectDetector
from modelserver.child.handlers.text_classifier import TextClassifier
from modelserver.child.handlers.tokens import CLEANUP_REGEX, remove_html_tags
from modelserver.child.loops.calls import handler_call, last_rows
from modelserver.protocol import frames
from tests.child.handlers.test_vision_handlers import CLASSIFIER, DETECTOR, SEGMENTER, picture
from tests.harness.packages import needs_torch

BROKEN = (b"no image", b"", picture()[:60], "no base64", "\u00e9", [[1.0], [1.0, 2.0]], {"k": 1}, None, 7)
"""What an image is not: none of these can be opened."""


def announced(width: int, height: int) -> bytes:
    """The head of a PNG that says how large it is, and has no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@needs_torch
class OneBadRowTests(SynchronousTestCase):
    """Batches go through the call that a worker's loop makes."""

    model_file = "none.py"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def context_for(self, rows: int) -> Context:
        """A context for a batch."""
        manifest: dict[str, object] = {"model": {"modelFile": self.model_file}}
        context = Context("m", str(self.folder), manifest, 8, None, "1")
        context.request_ids = {place: f"id-{place}" for place in range(rows)}
        context.request_processor = [RequestProcessor({}) for _ in range(rows)]
        return context

    def loaded(self, handler: Any, model: str) -> Any:
        """A handler with a model of this text."""
        # A name of its own: the module of a file that was imported is not read again.
        self.model_file = f"{type(handler).__name__.lower()}_{self._testMethodName}.py"
        (self.folder / self.model_file).write_text(model)
        handler.initialize(self.context_for(1))
        return handler

    def codes(self, handle: Any, rows: list[Any]) -> list[int]:
        """The statuses of the answers."""
        context = self.context_for(len(rows))
        call = handler_call(handle, context, last_rows(10_000_000))
        answered = call([{"body": row} for row in rows], context.request_processor)
        return [
            json.loads(bytes(answer.body))[0] if flags & frames.ERROR else answer.status
            for flags, answer in answered
        ]

    def test_image_handlers(self) -> None:
        for handler, model in (
            (ImageClassifier(), CLASSIFIER),
            (ImageSegmenter(), SEGMENTER),
            (ObjectDetector(), DETECTOR),
        ):
            self.loaded(handler, model)
            for broken in BROKEN:
                codes = self.codes(handler.handle, [picture(), broken, picture()])
                self.assertEqual([codes[0], codes[2]], [200, 200], (type(handler), broken))
                self.assertIn(codes[1], (400, 415, 503), broken)
            self.assertEqual(self.codes(handler.handle, [b"no image"]), [415])
            self.assertEqual(self.codes(handler.handle, [b"no image"] * 3), [415] * 3)

    def test_lists_of_another_shape_go_by_themselves(self) -> None:
        handler = self.loaded(ImageClassifier(), CLASSIFIER)
        small = [[[0.5] * 3] * 3] * 3
        self.assertEqual(
            self.codes(handler.handle, [picture(), small, [0.5], picture()]), [200, 200, 503, 200]
        )

    def test_tensors(self) -> None:
        handler = self.loaded(BaseHandler(), "import torch\n\nclass Same(torch.nn.Identity):\n    pass\n")
        rows = [[1.0, 2.0], ["x"], [3.0, 4.0], [1.0], {"a": 1}]
        self.assertEqual(self.codes(handler.handle, rows), [200, 400, 200, 200, 400])

    def test_micro_batches(self) -> None:
        handler = self.loaded(ImageClassifier(), CLASSIFIER)
        handler.handle = pipeline = MicroBatching(handler, 2)
        self.addCleanup(pipeline.shutdown)
        rows = [picture(), picture(), b"x", b"y", picture(), b"z", [[[0.5] * 3] * 3] * 3, picture()]
        self.assertEqual(self.codes(pipeline, rows), [200, 200, 415, 415, 200, 415, 200, 200])

    def test_texts(self) -> None:
        import torch

        torch.save({"good": 1, "bad": 2}, self.folder / "source_vocab.pt")
        model = (
            "import torch\n\nclass Mood(torch.nn.EmbeddingBag):\n"
            "    def __init__(self):\n        super().__init__(9, 2)\n"
        )
        handler = self.loaded(TextClassifier(), model)
        self.assertEqual(self.codes(handler.handle, [b"good", b"\xff\xfe", b"bad"]), [200, 400, 200])

    def test_services_of_the_oldest_archives(self) -> None:
        class Literal(SingleNodeService):
            """Answers with what it gets."""

        service = Literal("m", str(self.folder), {}, None)
        service._signature = {"inputs": [{"data_name": "data"}], "input_type": "application/json"}
        self.assertEqual(self.codes(service.handle, [b"[1]", b"f(", b"(1,)", b"\xff"]), [200, 400, 200, 400])

    def test_targets_of_explanations(self) -> None:
        refusal = self.assertRaises(RowsRefused, targets, [{"target": 1}, {"target": "x"}, {"target": []}])
        self.assertEqual(sorted(refusal.refusals), [1, 2])


class ImageSizeTests(SynchronousTestCase):
    """What is announced is looked at before anything is decoded."""

    def limit(self, pixels: int | None) -> None:
        """Set Pillow's limit for the test: an image of over twice as many is refused."""
        self.patch(Image, "MAX_IMAGE_PIXELS", pixels)

    def test_announced_size_is_refused_before_decoding(self) -> None:
        self.limit(100)
        refusal = self.assertRaises(PredictionException, open_image, announced(40, 30))
        self.assertEqual(refusal.error_code, 413)
        self.assertIn("1200 pixels", refusal.message)

    def test_without_a_limit_it_is_opened(self) -> None:
        self.limit(None)
        self.assertEqual(open_image(announced(40, 30)).size, (40, 30))

    def test_scaling_does_not_make_a_strip_vast(self) -> None:
        self.limit(10_000)
        strip = Image.new("RGB", (200, 1))
        refusal = self.assertRaises(PredictionException, Resize(20), strip)
        self.assertEqual(refusal.error_code, 413)
        self.assertEqual(Resize(5)(strip).size, (1000, 5))
        self.limit(None)
        self.assertEqual(Resize(20)(strip).size, (4000, 20))

    def test_making_a_large_image_smaller_is_no_growth(self) -> None:
        self.limit(100)
        self.assertEqual(Resize(19)(Image.new("RGB", (20, 20))).size, (19, 19))


class TagTests(SynchronousTestCase):
    """Tags go in linear time, and as the peers' expression finds them."""

    def test_as_the_expression(self) -> None:
        for text in (
            "<p>a</p> b",
            "a < b > c <",
            "<<b>>&amp;<i",
            "<a\n>x</a> &lt; &#12; <",
            "a\n<b>\nc <d",
            "",
            ">\n<",
        ):
            self.assertEqual(remove_html_tags(text), CLEANUP_REGEX.sub("", text))

    def test_many_beginnings_without_an_end(self) -> None:
        """The expression alone needs the square of their number, half an hour for these."""
        text = "<" * 1_000_000
        self.assertEqual(remove_html_tags(text), text)
