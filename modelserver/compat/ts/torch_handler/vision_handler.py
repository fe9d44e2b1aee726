"""What the handlers of images have in common."""

from modelserver.child.handlers.vision_handler import VisionHandler
from modelserver.compat.borrowed import borrowed

__all__ = ["VisionHandler"]

__getattr__ = borrowed(__name__)
