"""Objects in images."""

from modelserver.child.handlers.object_detector import ObjectDetector

__all__ = ["ObjectDetector"]
