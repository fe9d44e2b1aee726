"""Where the services of the oldest archives take their base from; MXNet's own can be imported only."""

from modelserver.child.handlers.model_service import SingleNodeService
from modelserver.compat.borrowed import borrowed
from modelserver.compat.not_here import OnlyThere

__all__ = ["GluonImperativeBaseService", "MXNetBaseService", "SingleNodeService", "check_input_shape"]

_WHY = "no MXNet runs with this Python; subclass SingleNodeService, and load the model in initialize"


def check_input_shape(inputs, signature):
    """
    Compare arrays with the shapes of a signature; its first dimension, and those of 0, may have any size.

    :raises AssertionError: they differ.
    """
    declared = signature["inputs"]
    assert isinstance(inputs, list), "The inputs are no list."
    assert len(inputs) == len(declared), f"There are {len(inputs)} inputs, the signature has {len(declared)}."
    for array, wanted in zip(inputs, declared, strict=True):
        shape, sizes = tuple(array.shape), wanted["data_shape"]
        fits = len(shape) == len(sizes) and all(
            size in (0, found) for found, size in zip(shape[1:], sizes[1:], strict=True)
        )
        assert fits, f"The input {wanted['data_name']} has the shape {shape}, the signature says {sizes}."


class MXNetBaseService(OnlyThere, SingleNodeService):
    """A symbolic model of MXNet."""

    why = _WHY


class GluonImperativeBaseService(OnlyThere, SingleNodeService):
    """An imperative model of MXNet."""

    why = _WHY


__getattr__ = borrowed(__name__)
