"""The classes of pixels."""

from modelserver.child.handlers.image_segmenter import ImageSegmenter
from modelserver.compat.borrowed import borrowed

__all__ = ["ImageSegmenter"]

__getattr__ = borrowed(__name__)
