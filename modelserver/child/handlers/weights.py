"""From the files of an archive to a model that can be called."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modelserver.archive.weights_formats import WeightsFormat, weights_format

if TYPE_CHECKING:
    import torch

_WITHOUT_CLASS = (WeightsFormat.PICKLE, WeightsFormat.SAFETENSORS)
"""Formats that hold tensors, or name a class, and are no model by themselves."""


def list_classes_from_module(module: ModuleType, parent_class: type | None = None) -> list[type]:
    """The classes that a module itself defines; with ``parent_class``, only its subclasses."""
    return [
        member
        for member in vars(module).values()
        if isinstance(member, type)
        and member.__module__ == module.__name__
        and (parent_class is None or issubclass(member, parent_class))
    ]


def import_file(path: str) -> ModuleType:
    """
    Import a Python file under its base name; the module that is loaded from it already, if there is one.

    :raises ImportError: it is no Python file.
    """
    name = os.path.splitext(os.path.basename(path))[0]
    known = sys.modules.get(name)
    if known is not None and os.path.realpath(getattr(known, "__file__", None) or "") == os.path.realpath(
        path
    ):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def load_eager(
    model_dir: str, model_file: str, weights: str | None, map_location: str | None
) -> torch.nn.Module:
    """
    A model from its class, with the weights of a state dict or a safetensors file if there is one.

    :raises FileNotFoundError: the model file is missing.
    :raises ImportError: the weights are safetensors, and that library is not installed.
    :raises ValueError: it does not define exactly one class.
    """
    import torch

    path = os.path.join(model_dir, model_file)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"Missing the model file {path}")
    classes = list_classes_from_module(import_file(path))
    if len(classes) != 1:
        raise ValueError(
            f"Expected only one class as model definition in {model_file}, "
            f"found {[found.__name__ for found in classes]}"
        )
    model: torch.nn.Module = classes[0]()
    if weights and weights_format(weights) is WeightsFormat.SAFETENSORS:
        _load_safetensors(model, weights)
    elif weights:
        state = torch.load(weights, map_location=map_location, weights_only=True)
        model.load_state_dict(state)
    return model


def require_class(path: str) -> None:
    """
    Refuse weights that are nothing without a class, where there is no model file.

    Torch calls such a file a corrupted checkpoint: it looks for a TorchScript module in it.

    :raises RuntimeError: the file is a state dict, a pickled module or safetensors.
    """
    found = weights_format(path)
    if found in _WITHOUT_CLASS:
        raise RuntimeError(
            f"{os.path.basename(path)} ({found.value}) holds weights, and the archive has no modelFile with "
            "the class that they belong to"
        )


def _load_safetensors(model: torch.nn.Module, weights: str) -> None:
    """Fill a model; tensors that it uses under several names are in the file under one of them."""
    try:
        from safetensors.torch import load_model
    except ImportError as error:
        raise ImportError(
            f"{os.path.basename(weights)} is a safetensors file, and the package safetensors is not "
            "installed for this model: pip install safetensors"
        ) from error
    load_model(model, weights)


def setup_ort_session(model_pt_path: str, map_location: str | None) -> Any:
    """
    A session of onnxruntime, on the GPU if that is where the handler computes.

    :raises ImportError: onnxruntime is not installed.
    """
    import onnxruntime

    wanted = ["CUDAExecutionProvider"] if map_location == "cuda" else []
    available = onnxruntime.get_available_providers()
    providers = [name for name in wanted if name in available] + ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(model_pt_path, providers=providers)


def is_session(model: object) -> bool:
    """Whether a model is a session of onnxruntime."""
    return type(model).__name__ == "InferenceSession"


def run_session(session: Any, data: object, more: Sequence[object] = ()) -> object:
    """
    What a session of onnxruntime makes of its inputs: a tensor, or a list of them.

    :param data: the first input, or a mapping from the names of inputs.
    :param more: the other inputs in order.
    """
    import torch

    names = [declared.name for declared in session.get_inputs()]
    inputs = data if isinstance(data, Mapping) else dict(zip(names, [data, *more], strict=False))
    arrays = {name: torch.as_tensor(value).numpy(force=True) for name, value in inputs.items()}
    outputs = [torch.as_tensor(output) for output in session.run(None, arrays)]
    return outputs[0] if len(outputs) == 1 else outputs
