"""The oldest handler of images."""

from modelserver.child.handlers.densenet_handler import DenseNetHandler

__all__ = ["DenseNetHandler"]
