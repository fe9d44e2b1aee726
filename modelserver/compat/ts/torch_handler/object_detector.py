"""Objects in images."""

from modelserver.child.handlers.object_detector import ObjectDetector
from modelserver.compat.borrowed import borrowed

__all__ = ["ObjectDetector"]

__getattr__ = borrowed(__name__)
