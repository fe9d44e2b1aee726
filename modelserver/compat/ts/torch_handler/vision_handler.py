"""What the handlers of images have in common."""

from modelserver.child.handlers.vision_handler import VisionHandler

__all__ = ["VisionHandler"]
