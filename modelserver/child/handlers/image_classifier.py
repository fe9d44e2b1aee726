"""The handler ``image_classifier``: the most probable classes of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelserver.child.handlers.image_transforms import imagenet
from modelserver.child.handlers.labels import map_class_to_label
from modelserver.child.handlers.timing import timed
from modelserver.child.handlers.vision_handler import VisionHandler

if TYPE_CHECKING:
    import torch


class ImageClassifier(VisionHandler):
    """Answers each image with ``{label: probability}`` of its ``topk`` best classes, best first."""

    topk = 5
    image_processing = imagenet()

    def set_max_result_classes(self, topk: int) -> None:
        """Say how many classes an answer has."""
        self.topk = topk

    def get_max_result_classes(self) -> int:
        """How many classes an answer has."""
        return self.topk

    @timed
    def postprocess(self, data: torch.Tensor) -> list[Any]:
        """The best classes from the model's scores."""
        probabilities = data.softmax(dim=1)
        values, classes = probabilities.topk(min(self.topk, probabilities.shape[1]), dim=1)
        return map_class_to_label(values.tolist(), self.mapping, classes.tolist())
