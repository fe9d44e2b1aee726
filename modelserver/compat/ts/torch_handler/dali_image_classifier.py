"""The classes of images that NVIDIA's DALI decodes."""

from ts.torch_handler.dali_handler import DALIHandler

from modelserver.child.handlers.image_classifier import ImageClassifier
from modelserver.compat.borrowed import borrowed

__all__ = ["DALIHandler", "DALIImageClassifier"]


class DALIImageClassifier(DALIHandler, ImageClassifier):
    """Answers as ``ImageClassifier`` does."""


__getattr__ = borrowed(__name__)
