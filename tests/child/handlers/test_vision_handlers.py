"""Handlers of images: transforms, classes, pixels, objects."""

from __future__ import annotations

import json
import warnings
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from modelserver.child.context import Context, PredictionException, RequestProcessor
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.densenet_handler import DenseNetHandler
from modelserver.child.handlers.image_classifier import ImageClassifier
from modelserver.child.handlers.image_segmenter import ImageSegmenter
from modelserver.child.handlers.image_transforms import (
    CenterCrop,
    Compose,
    Normalize,
    Resize,
    ToRGB,
    ToTensor,
    imagenet,
    open_image,
)
from modelserver.child.handlers.object_detector import ObjectDetector
from tests.harness.packages import needs_torch

CLASSIFIER = """
import torch

class Brightest(torch.nn.Module):
    def forward(self, x):
        return x.mean(dim=(2, 3)) * 100
"""
SEGMENTER = """
import torch

class Segments(torch.nn.Module):
    def forward(self, x):
        return {"out": x * 100}
"""
DETECTOR = """
import torch

class Finds(torch.nn.Module):
    def forward(self, images):
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
        return [
            {"boxes": boxes, "labels": torch.tensor([1, 1]), "scores": torch.tensor([image[0].mean(), 0.25])}
            for image in images
        ]
"""


def picture(
    color: tuple[int, ...] = (255, 0, 0), size: tuple[int, int] = (40, 30), mode: str = "RGB"
) -> bytes:
    """A PNG of one colour."""
    buffer = BytesIO()
    Image.new(mode, size, color).save(buffer, "PNG")
    return buffer.getvalue()


def pixel(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    """The colours at a place."""
    found = image.getpixel((x, y))
    assert isinstance(found, tuple)
    return found


def gradient(width: int, height: int) -> Image.Image:
    """An image in which every pixel differs."""
    image = Image.new("RGB", (width, height))
    image.putdata(
        [((x * 7) % 256, (y * 5) % 256, (x * y) % 256) for y in range(height) for x in range(width)]
    )
    return image


class TransformTests(SynchronousTestCase):
    """The transforms do what torchvision's do."""

    def test_resize_keeps_the_proportions(self) -> None:
        for size, resized in (
            ((40, 20), (20, 10)),
            ((20, 41), (10, 20)),
            ((10, 10), (10, 10)),
            ((5, 5), (10, 10)),
        ):
            self.assertEqual(Resize(10)(Image.new("RGB", size)).size, resized)

    def test_crop_takes_the_middle(self) -> None:
        image = gradient(9, 6)
        cropped = CenterCrop(4)(image)
        self.assertEqual((cropped.size, cropped.getpixel((0, 0))), ((4, 4), image.getpixel((2, 1))))

    def test_crop_pads_what_is_too_small(self) -> None:
        cropped = CenterCrop(4)(Image.new("RGB", (2, 6), (9, 9, 9)))
        self.assertEqual(cropped.size, (4, 4))
        self.assertEqual([pixel(cropped, x, 0)[0] for x in range(4)], [0, 9, 9, 0])

    @needs_torch
    def test_tensor(self) -> None:
        image = gradient(3, 2)
        tensor = ToTensor()(image)
        self.assertEqual(tuple(tensor.shape), (3, 2, 3))
        for x, y, channel in ((0, 0, 0), (2, 1, 1), (1, 1, 2)):
            expected = pixel(image, x, y)[channel] / 255
            self.assertAlmostEqual(tensor[channel, y, x].item(), expected, places=6)
        self.assertEqual(tuple(ToTensor()(image.convert("L")).shape), (1, 2, 3))

    @needs_torch
    def test_normalize(self) -> None:
        import torch

        tensor = Normalize([0.5, 0.0], [0.5, 2.0])(torch.ones(2, 1, 1))
        self.assertEqual(tensor.flatten().tolist(), [1.0, 0.5])

    @needs_torch
    def test_any_mode_becomes_rgb(self) -> None:
        for mode in ("L", "RGBA", "P", "1", "CMYK", "LA"):
            self.assertEqual(tuple(imagenet()(Image.new(mode, (300, 260))).shape), (3, 224, 224))

    def test_transforms_are_those_of_torchserve(self) -> None:
        names = [type(each).__name__ for each in imagenet().transforms]
        self.assertEqual(names, ["Resize", "CenterCrop", "ToTensor", "Normalize"])

    def test_equal_to_torchvision(self) -> None:
        try:
            from torchvision import transforms
        except (ImportError, RuntimeError):
            raise SkipTest("needs torchvision") from None
        theirs = transforms.Compose(
            [
                transforms.Resize(256),
                transforms.CenterCrop(224),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ]
        )
        for size in ((300, 500), (500, 301), (256, 256), (100, 80), (1000, 257)):
            image = gradient(*size)
            self.assertLess((imagenet()(image) - theirs(image)).abs().max().item(), 1e-6)

    def test_base64(self) -> None:
        text = b64encode(picture()).decode()
        for form in (text, "data:image/png;base64," + text):
            self.assertEqual(open_image(form).size, (40, 30))
        refusal = self.assertRaises(PredictionException, open_image, b"no image")
        self.assertEqual(refusal.error_code, 415)


class VisionTestCase(SynchronousTestCase):
    """Loads handlers with models of their own."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.labels({"0": "red", "1": "green", "2": "blue"})

    def labels(self, mapping: dict[str, object]) -> None:
        """Put labels into the archive."""
        (self.folder / "index_to_name.json").write_text(json.dumps(mapping))

    def context_for(self, rows: int = 1, headers: dict[str, str] | None = None, **more: Any) -> Context:
        """A context for the archive."""
        name = f"{type(self).__name__.lower()}_model.py"
        context = Context("m", str(self.folder), {"model": {"modelFile": name}}, 1, None, "1", **more)
        context.request_processor = [RequestProcessor(headers or {}) for _ in range(rows)]
        return context

    def loaded(self, handler: BaseHandler, model: str) -> Any:
        """A handler that was initialized with a model of this text."""
        (self.folder / f"{type(self).__name__.lower()}_model.py").write_text(model)
        handler.initialize(self.context_for())
        return handler


@needs_torch
class ImageClassifierTests(VisionTestCase):
    """The classifier."""

    def test_forms_of_input(self) -> None:
        handler = self.loaded(ImageClassifier(), CLASSIFIER)
        rows = [
            {"data": picture((255, 0, 0))},
            {"body": bytearray(picture((0, 255, 0)))},
            {"body": b64encode(picture((0, 0, 255))).decode()},
            {"body": [[[0.0] * 224] * 224, [[1.0] * 224] * 224, [[0.0] * 224] * 224]},
            {"b64": b64encode(picture((255, 0, 0))).decode()},
            picture((0, 255, 0)),
        ]
        answers = handler.handle(rows, self.context_for(len(rows)))
        self.assertEqual(
            [next(iter(answer)) for answer in answers], ["red", "green", "blue", "green", "red", "green"]
        )
        self.assertEqual(set(answers[0]), {"red", "green", "blue"})
        self.assertAlmostEqual(sum(answers[0].values()), 1, places=5)

    def test_best_classes_only(self) -> None:
        handler = self.loaded(ImageClassifier(), CLASSIFIER)
        handler.set_max_result_classes(1)
        self.assertEqual(handler.get_max_result_classes(), 1)
        (answer,) = handler.handle([{"data": picture()}], self.context_for())
        self.assertEqual(list(answer), ["red"])

    def test_classes_without_labels_are_numbers(self) -> None:
        self.labels({"0": "red"})
        handler = self.loaded(ImageClassifier(), CLASSIFIER)
        (answer,) = handler.handle([{"data": picture((0, 255, 0))}], self.context_for())
        self.assertEqual(next(iter(answer)), "1")

    def test_transforms_of_ones_own(self) -> None:
        class Digits(ImageClassifier):
            image_processing = Compose([ToTensor()])

        handler = self.loaded(Digits(), CLASSIFIER)
        tensor = handler.preprocess([{"data": picture((7,), mode="L")}])
        self.assertEqual(tuple(tensor.shape), (1, 1, 30, 40))

    def test_pixel_limit_is_lifted_where_the_server_says_so(self) -> None:
        limit = Image.MAX_IMAGE_PIXELS
        self.addCleanup(setattr, Image, "MAX_IMAGE_PIXELS", limit)
        handler = self.loaded(ImageClassifier(), CLASSIFIER)
        self.assertEqual(Image.MAX_IMAGE_PIXELS, limit)
        handler.initialize(self.context_for(limit_max_image_pixels=False))
        self.assertIsNone(Image.MAX_IMAGE_PIXELS)

    def test_explain(self) -> None:
        handler = self.loaded(ImageClassifier(), CLASSIFIER)
        handler.image_processing = Compose([ToRGB(), Resize(4), CenterCrop(4), ToTensor()])
        rows = [{"data": picture()}, {"data": picture(), "target": bytearray(b"1")}]
        context = self.context_for(2, {"explain": "True"})
        try:
            import captum.attr  # noqa: F401  # only whether it is there
        except ImportError:
            error = self.assertRaises(PredictionException, handler.handle, rows, context)
            self.assertEqual(error.error_code, 501)
            raise SkipTest("explanations themselves need captum") from None
        red, green = handler.handle(rows, context)
        self.assertGreater(red[0][0][0], 0)
        self.assertEqual(green[0][0][0], 0)

    def test_densenet_answers_with_scores(self) -> None:
        handler = self.loaded(DenseNetHandler(), CLASSIFIER)
        ((red, green, _),) = handler.handle([{"data": picture()}], self.context_for())
        self.assertGreater(red, green)


@needs_torch
class ImageSegmenterTests(VisionTestCase):
    """The segmenter."""

    def test_class_and_probability_of_each_pixel(self) -> None:
        handler = self.loaded(ImageSegmenter(), SEGMENTER)
        handler.image_processing = Compose([ToRGB(), ToTensor()])
        (answer,) = handler.handle([{"data": picture((0, 0, 255))}], self.context_for())
        self.assertEqual((len(answer), len(answer[0]), answer[0][0]), (30, 40, [2.0, 1.0]))

    def test_scores_without_a_dict(self) -> None:
        import torch

        scores = torch.zeros(1, 2, 1, 1)
        self.assertEqual(ImageSegmenter().postprocess(scores), [[[[0.0, 0.5]]]])


@needs_torch
class ObjectDetectorTests(VisionTestCase):
    """The detector."""

    def test_certain_objects(self) -> None:
        handler = self.loaded(ObjectDetector(), DETECTOR)
        rows = [{"data": picture()}, {"data": picture((0, 0, 0))}]
        self.assertEqual(
            handler.handle(rows, self.context_for(2)), [[{"green": [0.0, 0.0, 1.0, 1.0], "score": 1.0}], []]
        )

    def test_threshold(self) -> None:
        handler = self.loaded(ObjectDetector(), DETECTOR)
        handler.threshold = 0.2
        (answer,) = handler.handle([{"data": picture()}], self.context_for())
        self.assertEqual([found["score"] for found in answer], [1.0, 0.25])

    def test_images_of_a_batch_may_differ_in_size(self) -> None:
        handler = self.loaded(ObjectDetector(), DETECTOR)
        rows = [{"data": picture()}, {"data": picture(size=(8, 8))}]
        self.assertEqual([len(answer) for answer in handler.handle(rows, self.context_for(2))], [1, 1])

    def test_scripted_model_that_takes_a_list(self) -> None:
        import torch

        class Finds(torch.nn.Module):
            def forward(
                self, images: list[torch.Tensor]
            ) -> tuple[dict[str, torch.Tensor], list[dict[str, torch.Tensor]]]:
                found = {
                    "boxes": torch.zeros(1, 4),
                    "labels": torch.zeros(1, dtype=torch.int64),
                    "scores": torch.ones(1),
                }
                return found, [found for image in images]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            model = torch.jit.script(Finds())
        handler = self.loaded(ObjectDetector(), DETECTOR)
        handler.model = model
        answers = handler.handle([{"data": picture()}] * 2, self.context_for(2))
        self.assertEqual(answers, [[{"red": [0.0] * 4, "score": 1.0}]] * 2)
