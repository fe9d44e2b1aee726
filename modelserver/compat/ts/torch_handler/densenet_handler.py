"""The oldest handler of images."""

from modelserver.child.handlers.densenet_handler import DenseNetHandler
from modelserver.child.handlers.weights import list_classes_from_module
from modelserver.compat.borrowed import borrowed

__all__ = ["DenseNetHandler", "list_classes_from_module"]

__getattr__ = borrowed(__name__)
