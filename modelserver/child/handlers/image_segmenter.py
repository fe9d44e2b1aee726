"""The handler ``image_segmenter``: the class of each pixel of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelserver.child.handlers.image_transforms import imagenet
from modelserver.child.handlers.timing import timed
from modelserver.child.handlers.vision_handler import VisionHandler

if TYPE_CHECKING:
    import torch


class ImageSegmenter(VisionHandler):
    """Answers each image with rows of pixels, each of them ``[class, probability]``."""

    image_processing = imagenet()

    @timed
    def postprocess(self, data: torch.Tensor | Mapping[str, torch.Tensor]) -> list[Any]:
        """
        The most probable class of each pixel.

        :param data: the model's scores, or a dict that holds them as ``out``, as torchvision's models return.
        """
        import torch

        scores: torch.Tensor = data["out"] if isinstance(data, Mapping) else data
        probabilities, classes = scores.softmax(dim=1).max(dim=1)
        pixels: list[Any] = torch.stack([classes.to(probabilities.dtype), probabilities], dim=3).tolist()
        return pixels
