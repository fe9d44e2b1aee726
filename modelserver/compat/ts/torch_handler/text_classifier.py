"""The classes of texts."""

from modelserver.child.handlers.text_classifier import TextClassifier
from modelserver.compat.borrowed import borrowed

__all__ = ["TextClassifier"]

__getattr__ = borrowed(__name__)
