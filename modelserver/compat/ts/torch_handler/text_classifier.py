"""The classes of texts."""

from modelserver.child.handlers.text_classifier import TextClassifier

__all__ = ["TextClassifier"]
