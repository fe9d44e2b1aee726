"""The classes of images."""

from modelserver.child.handlers.image_classifier import ImageClassifier

__all__ = ["ImageClassifier"]
