"""What the server and its models say about themselves in the Open Inference Protocol.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import modelserver
from modelserver.core.registry import Registry
from modelserver.language.attributes import frozen


@frozen
class ServerMetadata:
    """
    Which server this is.

    :param name: TorchServe's, in its own spelling.
    :param extensions: the optional parts of the protocol that are served.
    """

    name: str = "Torchserve"
    version: str = modelserver.__version__
    extensions: tuple[str, ...] = (
        *("kserve", "kubeflow", "binary_tensor_data"),
        *("model_configuration", "statistics"),
    )


@frozen
class ModelMetadata:
    """
    What clients of a model need to know.

    :param versions: all versions of the model, older ones first.
    :param platform: the engine that the archive names, PyTorch unless it names one.
    :param inputs: the tensors that the model takes, as ``inputs`` of its model-config has them: mappings with
        ``name``, ``datatype`` and ``shape``.
    :param outputs: the tensors that the model returns, in the same form.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: Sequence[object] = ()
    outputs: Sequence[object] = ()


@frozen
class DeclaredTensor:
    """
    A tensor as messages can carry it.

    :param shape: sizes that fit into 64 bits with a sign.
    """

    name: str
    datatype: str
    shape: Sequence[int]


def declared_tensors(described: Sequence[object]) -> Iterator[DeclaredTensor]:
    """Yield the tensors of ``inputs`` or ``outputs``; what a model-config says amiss is left out."""
    for tensor in described:
        if isinstance(tensor, dict):
            sizes = tensor.get("shape") or ()
            yield DeclaredTensor(
                str(tensor.get("name", "")),
                str(tensor.get("datatype", "")),
                [size for size in sizes if isinstance(size, int) and -(1 << 63) <= size < 1 << 63],
            )


def model_metadata(registry: Registry, name: str, version: str | None = None) -> ModelMetadata:
    """
    Return the metadata of a version.

    :param version: None for the default one.
    :raises ModelNotFound: no model has this name.
    :raises VersionNotFound: the model has no such version.
    """
    spec = registry.get(name, version).spec
    return ModelMetadata(
        name=spec.name,
        versions=tuple(each.spec.version for each in registry.versions(name)),
        platform=spec.engine or "pytorch",
        inputs=_tensors(spec.config.get("inputs")),
        outputs=_tensors(spec.config.get("outputs")),
    )


def _tensors(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
