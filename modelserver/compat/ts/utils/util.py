"""Small things that handlers need."""

import functools
import warnings

from modelserver.child.context import PredictionException
from modelserver.child.handlers.compilation import PT2Backend, check_valid_pt2_backend
from modelserver.child.handlers.labels import load_label_mapping, map_class_to_label
from modelserver.child.handlers.tokens import CLEANUP_REGEX
from modelserver.child.handlers.weights import list_classes_from_module
from modelserver.compat.borrowed import borrowed

__all__ = [
    "CLEANUP_REGEX",
    "PT2Backend",
    "PredictionException",
    "check_valid_pt2_backend",
    "deprecated",
    "get_yaml_config",
    "list_classes_from_module",
    "load_label_mapping",
    "map_class_to_label",
]


def get_yaml_config(yaml_file_path: str) -> dict[str, object]:
    """The content of a YAML file; an empty dict if it has none."""
    import yaml

    with open(yaml_file_path, encoding="utf-8") as file:
        return yaml.safe_load(file) or {}


def deprecated(version, replacement="", klass=PendingDeprecationWarning):
    """
    Let a function warn that it will go.

    :param version: since when it should not be used.
    :param replacement: what to use in its stead.
    """

    def decorate(function):
        text = f"{function.__name__} is deprecated since {version}"
        text += f", use {replacement} instead" if replacement else ""

        @functools.wraps(function)
        def warned(*args, **kwargs):
            warnings.warn(text, klass, stacklevel=2)
            return function(*args, **kwargs)

        return warned

    return decorate


__getattr__ = borrowed(__name__)
