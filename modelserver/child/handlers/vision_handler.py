"""What the handlers of images have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from modelserver.child.data.refusals import opened, require_equal
from modelserver.child.data.rows import row_value
from modelserver.child.handlers.base_handler import BaseHandler
from modelserver.child.handlers.explanations import attribution_method
from modelserver.child.handlers.image_transforms import imagenet, open_image
from modelserver.child.handlers.timing import timed

if TYPE_CHECKING:
    import torch

    from modelserver.child.context import Context

ENCODED = (str, bytes, bytearray, memoryview)
"""An image in a format that Pillow knows, maybe in base64; anything else is taken for its numbers."""
EXPLAIN_STEPS = 15
"""Steps of the integral that an explanation is."""


def image_value(row: object) -> Any:
    """What a row carries, under the name ``b64``, too."""
    value = row_value(row)
    return row.get("b64") if value is None and isinstance(row, Mapping) else value


class VisionHandler(BaseHandler, ABC):
    """Images in: bytes, base64 text, or nested lists of numbers that are taken as they are."""

    image_processing: Callable[[Any], torch.Tensor] = imagenet()

    def initialize(self, context: Context) -> None:
        """Load the model; lift Pillow's limit on the size of images where the server says so."""
        super().initialize(context)
        if context.system_properties.get("limit_max_image_pixels") is False:
            from PIL import Image

            Image.MAX_IMAGE_PIXELS = None

    @timed
    def preprocess(self, data: Any) -> Any:
        """
        One tensor of all images, on the device.

        :raises RowsRefused: some are no images, or their shapes differ after ``image_processing``.
        """
        import torch

        images = opened(data, self._image)
        require_equal([tuple(image.shape) for image in images])
        return torch.stack(images).to(self.device)

    def _image(self, row: object) -> torch.Tensor:
        import torch

        value = image_value(row)
        if isinstance(value, ENCODED):
            return self.image_processing(open_image(value))
        return torch.as_tensor(value, dtype=torch.float32)

    @cached_property
    def ig(self) -> Any:
        """captum's IntegratedGradients of the model; a handler may set another method in its place."""
        return attribution_method("IntegratedGradients")(self.model)

    def get_insights(self, tensor_data: torch.Tensor, _: object, target: int | list[int] = 0) -> list[Any]:
        """
        How much each value of each image speaks for the class ``target``.

        :raises PredictionException: captum is not installed (501).
        """
        insights: list[Any] = self.ig.attribute(tensor_data, target=target, n_steps=EXPLAIN_STEPS).tolist()
        return insights
