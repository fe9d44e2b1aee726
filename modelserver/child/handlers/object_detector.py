"""The handler ``object_detector``: what is where in images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelserver.child.data.refusals import opened, require_equal
from modelserver.child.handlers.image_transforms import OfRGB, ToTensor
from modelserver.child.handlers.labels import map_class_to_label
from modelserver.child.handlers.timing import timed
from modelserver.child.handlers.vision_handler import ENCODED, VisionHandler, image_value

if TYPE_CHECKING:
    import torch

Detections = Mapping[str, "torch.Tensor"]


class ObjectDetector(VisionHandler):
    """
    Answers each image with a list of ``{label: [x1, y1, x2, y2], "score": probability}``.

    Images keep their size, so those of a batch may differ.
    """

    image_processing = OfRGB([ToTensor()])
    threshold = 0.5

    @timed
    def preprocess(self, data: Any) -> Any:
        """
        The images on the device: one tensor, or a list of them if their sizes differ.

        :raises RowsRefused: some are no images, or are lists of numbers: only those of one shape go together.
        """
        import torch

        images = opened(data, lambda row: self._image(row).to(self.device))
        is_list = [not isinstance(image_value(row), ENCODED) for row in data]
        require_equal([is_list[place] and tuple(image.shape) for place, image in enumerate(images)])
        return torch.stack(images) if len({image.shape for image in images}) == 1 else images

    def inference(self, data: Any, *args: object, **kwargs: object) -> Any:
        """What the model finds; a scripted one may insist on a list of images."""
        images = list(data) if _takes_list(self.model) else data
        return super().inference(images, *args, **kwargs)

    @timed
    def postprocess(self, data: Sequence[Detections] | tuple[object, Sequence[Detections]]) -> list[Any]:
        """
        The objects that are certain enough.

        :param data: ``boxes``, ``labels`` and ``scores`` of each image; a scripted model of torchvision
            returns its losses before them.
        """
        images: Any = data[1] if isinstance(data, tuple) and len(data) == 2 else data
        return [self._objects(image) for image in images]

    def _objects(self, image: Detections) -> list[dict[str, Any]]:
        certain = image["scores"] >= self.threshold
        boxes, labels = image["boxes"][certain].tolist(), image["labels"][certain].tolist()
        named = map_class_to_label([[box] for box in boxes], self.mapping, [[label] for label in labels])
        scores = image["scores"][certain].tolist()
        return [{**found, "score": score} for found, score in zip(named, scores, strict=True)]


def _takes_list(model: Any) -> bool:
    schema = getattr(getattr(model, "forward", None), "schema", None)
    return schema is not None and str(schema.arguments[1].type) == "List[Tensor]"
