"""Streaming, and classes by their names."""

import importlib

from modelserver.child.data.streaming import send_intermediate_predict_response
from modelserver.compat.borrowed import borrowed

__all__ = ["import_class", "send_intermediate_predict_response"]


def import_class(class_name: str, module_prefix: str | None = None) -> type:
    """
    The class of a dotted name.

    :param module_prefix: put before the name.
    :raises ImportError: there is none.
    """
    dotted = f"{module_prefix}.{class_name}" if module_prefix else class_name
    module_name, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module_name), name)
    except (AttributeError, ValueError) as error:
        raise ImportError(f"class:{name} not found in module:{module_name}.") from error


__getattr__ = borrowed(__name__)
