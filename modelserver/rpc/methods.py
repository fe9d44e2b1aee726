"""
The table of methods: what drives access control, reflection, the documents and the tests.

Each row says who may call; ``site`` gives each one the function that answers it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modelserver.language.attributes import frozen
from modelserver.security.key_file import Kind

TORCHSERVE_INFERENCE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
TORCHSERVE_MANAGEMENT = "org.pytorch.serve.grpc.management.ManagementAPIsService"
OPEN_INFERENCE = (
    "inference.GRPCInferenceService",
    "org.pytorch.serve.grpc.openinference.GRPCInferenceService",
)
"""The public standard's name, and TorchServe's."""
HEALTH = "grpc.health.v1.Health"
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")

REPOSITORY = ("RepositoryIndex", "RepositoryModelLoad", "RepositoryModelUnload")
"""The methods of the Open Inference Protocol that manage; an operator may have them beside predictions."""

INFERENCE, MANAGEMENT = SIDES = ("inference", "management")
"""The listeners, as the configuration's keys name them."""


@frozen
class MethodRow:
    """
    A method of a service.

    :param sides: the listeners that have it.
    :param key_kind: the kind of key that it asks for, where keys are in use; None: none.
    :param registers: it registers or unregisters models, which an operator may forbid (``enable_model_api``).
    :param is_job: each call is one job, whose id is the call's.
    :param streams_in: clients send a stream of messages.
    :param streams_out: clients are sent one.
    """

    service: str
    method: str
    sides: tuple[str, ...]
    key_kind: Kind | None
    description: str
    registers: bool = False
    is_job: bool = False
    streams_in: bool = False
    streams_out: bool = False

    @property
    def path(self) -> str:
        """How calls name it."""
        return f"/{self.service}/{self.method}"


def _torchserve() -> Iterator[MethodRow]:
    for method, streams_in, streams_out, description in (
        ("Ping", False, False, "Tell whether the models have their workers."),
        ("Predictions", False, False, "Ask a model."),
        ("StreamPredictions", False, True, "Ask a model whose answer comes in parts."),
        ("StreamPredictions2", True, True, "Ask a model in sequences of requests, each with a state."),
    ):
        yield MethodRow(
            service=TORCHSERVE_INFERENCE,
            method=method,
            sides=(INFERENCE,),
            key_kind="inference",
            description=description,
            is_job=method in ("Predictions", "StreamPredictions"),
            streams_in=streams_in,
            streams_out=streams_out,
        )


def _management() -> Iterator[MethodRow]:
    for method, registers, description in (
        ("DescribeModel", False, "Describe a version of a model, or all of them."),
        ("ListModels", False, "List the models."),
        ("RegisterModel", True, "Register a version of a model."),
        ("ScaleWorker", False, "Change the number of workers of a version."),
        ("SetDefault", False, "Choose the default version of a model."),
        ("UnregisterModel", True, "Unregister a version of a model."),
    ):
        yield MethodRow(
            service=TORCHSERVE_MANAGEMENT,
            method=method,
            sides=(MANAGEMENT,),
            key_kind="management",
            description=description,
            registers=registers,
        )


def _open_inference(service: str) -> Iterator[MethodRow]:
    for method, streams, description in (
        ("ServerLive", False, "Tell that the server runs."),
        ("ServerReady", False, "Tell whether models can be asked."),
        ("ModelReady", False, "Tell whether a model can be asked."),
        ("ServerMetadata", False, "Tell which server this is."),
        ("ModelMetadata", False, "Describe a model's tensors."),
        ("ModelConfig", False, "Tell how a model is configured, as in Triton."),
        ("ModelStatistics", False, "Tell what was counted of models, as in Triton."),
        ("ModelInfer", False, "Ask a model with tensors."),
        ("ModelStreamInfer", True, "Ask models with tensors, one request after the other, as in Triton."),
    ):
        yield MethodRow(
            service=service,
            method=method,
            sides=(INFERENCE,),
            key_kind="inference",
            description=description,
            is_job=method == "ModelInfer",
            streams_in=streams,
            streams_out=streams,
        )
    for method, description in zip(
        REPOSITORY,
        (
            "List the models that are registered, and those of the model store that could be.",
            "Register a model of the model store by its name, and wait for its workers.",
            "Unregister every version of a model.",
        ),
        strict=True,
    ):
        yield MethodRow(
            service=service,
            method=method,
            sides=SIDES,
            key_kind="management",
            description=description,
            registers=method != "RepositoryIndex",
        )


def _standard() -> Iterator[MethodRow]:
    yield MethodRow(
        HEALTH, "Check", SIDES, None, "Tell whether the server, a service or a model can be asked."
    )
    yield MethodRow(HEALTH, "Watch", SIDES, None, "The same, and again at each change.", streams_out=True)
    for service in REFLECTION:
        yield MethodRow(
            service=service,
            method="ServerReflectionInfo",
            sides=SIDES,
            key_kind=None,
            description="Describe the services of this listener.",
            streams_in=True,
            streams_out=True,
        )


METHODS: tuple[MethodRow, ...] = (
    *_torchserve(),
    *(row for service in OPEN_INFERENCE for row in _open_inference(service)),
    *_management(),
    *_standard(),
)


def methods_of(side: str) -> tuple[MethodRow, ...]:
    """Return the methods of a listener."""
    return tuple(row for row in METHODS if side in row.sides)


def services_of(rows: Iterable[MethodRow]) -> tuple[str, ...]:
    """Return the services of these methods, in their order."""
    return tuple(dict.fromkeys(row.service for row in rows))
