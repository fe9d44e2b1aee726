"""The classes of pixels."""

from modelserver.child.handlers.image_segmenter import ImageSegmenter

__all__ = ["ImageSegmenter"]
