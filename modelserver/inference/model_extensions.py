"""What two of Triton's extensions of the Open Inference Protocol tell of models.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_configuration.md
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md

Both are documents as Protocol Buffers' JSON has them, with the names of Triton's messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.inference.metadata import declared_tensors
from modelserver.inference.workflows import AnyInference
from modelserver.language.attributes import frozen
from modelserver.metrics.figures import NOTHING, Figures, VersionFigures
from modelserver.spec import VersionSpec
from modelserver.version_settings.setting import AUTO_WORD
from modelserver.version_settings.values import AUTO_DELAY

Document = Mapping[str, object]

_NANOSECONDS = 1e9
_MILLISECONDS = 1e3
_TYPES: Mapping[str, str] = {
    "BYTES": "TYPE_STRING",
    **{
        name: f"TYPE_{name}"
        for name in (
            *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
            *("FP16", "FP32", "FP64", "BF16"),
        )
    },
}
_UNKNOWN = "TYPE_INVALID"


@frozen(eq=False)
class ModelExtensions:
    """
    Tells what is asked.

    :param inference: tells of models and workflows.
    :param figures: what was counted so far.
    """

    inference: AnyInference
    figures: Callable[[], Figures]

    @property
    def registry(self) -> Registry:
        """The models."""
        return self.inference.models.registry

    def configuration(self, name: str, version: str | None = None) -> Document:
        """
        Return the ModelConfig of a version of a model, or of a workflow, which has no workers of its own.

        ``max_batch_size`` is 0: the server makes batches of whole requests, and tensors come as they are
        declared. What its batches and time limits are is among the parameters.

        :param version: None for the default one.
        :raises ModelNotFound: neither has this name.
        :raises VersionNotFound, WorkflowVersionNotFound: it has no such version.
        """
        model = self.inference.metadata(name, version)
        document: dict[str, object] = {
            "name": model.name,
            "platform": model.platform,
            "backend": model.platform,
            "version_policy": {"all": {}},
            "max_batch_size": 0,
            "input": _tensors(model.inputs),
            "output": _tensors(model.outputs),
        }
        if self.registry.has(name):
            found = self.registry.get(name, version)
            document["instance_group"] = _instances(found)
            document["parameters"] = _parameters(found.present_spec)
        return document

    def statistics(self, name: str | None = None, version: str | None = None) -> Document:
        """
        Return the statistics of a version, of all versions of a model, or of all models.

        A request's ``compute_infer`` is the handler's time for its batch, and ``compute_output`` all that is
        neither that nor the queue: decoding is not told apart from encoding and the way, so that
        ``compute_input`` is nothing. There is no ``fail``: refusals are counted by their causes, in the
        metrics.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        """
        registry = self.registry
        if name is None:
            versions: Sequence[ModelVersion] = registry.all()
        elif version is None:
            versions = registry.versions(name)
        else:
            versions = [registry.get(name, version)]
        counted = self.figures().versions
        specs = [each.spec for each in versions]
        return {
            "model_stats": [
                _statistics(spec, counted.get((spec.name, spec.version), NOTHING)) for spec in specs
            ]
        }


def _tensors(described: Sequence[object]) -> list[Document]:
    """Return tensors as ModelInput and ModelOutput have them; a size that is a flag is none."""
    return [
        {
            "name": tensor.name,
            "data_type": _TYPES.get(tensor.datatype.upper(), _UNKNOWN),
            "dims": [size for size in tensor.shape if not isinstance(size, bool)],
        }
        for tensor in declared_tensors(described)
    ]


def _instances(version: ModelVersion) -> list[Document]:
    """Return how many workers there are on each device."""
    count: dict[int | None, int] = {}
    for worker in version.pool.workers:
        gpu = worker.describe().gpu_id
        count[gpu] = count.get(gpu, 0) + 1
    return [
        {"name": f"{version.spec.name}_{place}", "kind": "KIND_CPU", "count": workers}
        if gpu is None
        else {"name": f"{version.spec.name}_{place}", "kind": "KIND_GPU", "count": workers, "gpus": [gpu]}
        for place, (gpu, workers) in enumerate(sorted(count.items(), key=lambda item: item[0] or -1))
    ]


def _parameters(spec: VersionSpec) -> Document:
    delay = spec.batching.max_delay
    values: Mapping[str, object] = {
        "version": spec.version,
        "handler": spec.handler,
        "batch_size": spec.batching.size,
        "max_batch_delay": AUTO_WORD if delay == AUTO_DELAY else round(delay * _MILLISECONDS),
        "response_timeout": round(spec.timeouts.response),
        "min_worker": spec.workers.minimum,
        "max_worker": spec.workers.maximum,
    }
    return {name: {"string_value": str(value)} for name, value in values.items()}


def _statistics(spec: VersionSpec, counted: VersionFigures) -> Document:
    requests = sum(counted.requests)
    batches = [
        {"batch_size": size, "compute_infer": _duration(calls, seconds)}
        for size, (calls, seconds) in counted.handled.items()
    ]
    handled = sum(size * seconds for size, (_, seconds) in counted.handled.items())
    return {
        "name": spec.name,
        "version": spec.version,
        "inference_count": requests,
        "execution_count": sum(calls for calls, _ in counted.handled.values()),
        "inference_stats": {
            "success": _duration(requests, counted.seconds),
            "queue": _duration(requests, counted.queued),
            "compute_input": _duration(requests, 0.0),
            "compute_infer": _duration(requests, handled),
            "compute_output": _duration(requests, max(0.0, counted.seconds - counted.queued - handled)),
        },
        "batch_stats": batches,
    }


def _duration(count: int, seconds: float) -> Document:
    return {"count": count, "ns": round(seconds * _NANOSECONDS)}
