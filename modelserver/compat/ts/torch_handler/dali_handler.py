"""The base of handlers whose images NVIDIA's DALI decodes."""

from ts.handler_utils.preprocess.dali import get_dali_pipeline

from modelserver.child.data.refusals import opened
from modelserver.child.handlers.vision_handler import ENCODED, VisionHandler, image_value
from modelserver.compat.borrowed import borrowed

__all__ = ["DALIHandler", "get_dali_pipeline"]


class DALIHandler(VisionHandler):
    """Decodes and prepares images with the archive's pipeline."""

    def initialize(self, context):
        """Load the model and the pipeline."""
        super().initialize(context)
        self.initialized = False
        self.pipeline = get_dali_pipeline(context)
        self.initialized = True

    def preprocess(self, data):
        """One tensor of what the pipeline makes of all images, on the device."""
        import numpy
        import torch

        def encoded(row):
            value = image_value(row)
            if not isinstance(value, ENCODED) or isinstance(value, str):
                raise TypeError("an image comes as bytes")
            return numpy.frombuffer(value, dtype=numpy.uint8)

        (images, *_) = self.pipeline.run(source=opened(data, encoded))
        return torch.stack([torch.as_tensor(images.at(place)) for place in range(len(data))]).to(self.device)


__getattr__ = borrowed(__name__)
