"""The classes of images."""

from modelserver.child.handlers.image_classifier import ImageClassifier
from modelserver.compat.borrowed import borrowed

__all__ = ["ImageClassifier"]

__getattr__ = borrowed(__name__)
