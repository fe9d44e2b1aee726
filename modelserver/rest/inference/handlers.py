"""Answers the inference rows of the table, for requests that Twisted Web has read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import field, frozen
from twisted.web.server import Request

import modelserver
from modelserver.core.registry import Registry
from modelserver.errors import ModelNotFound
from modelserver.inference.health import LoadStatus, health_of, unready_models
from modelserver.interfaces import Reply
from modelserver.rest.binding import Operation
from modelserver.rest.dialects.bodies import pretty
from modelserver.rest.inference.front import InferenceEndpoint
from modelserver.rest.openapi import model_document
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import ListenerRole, Route

NOT_READY = 400
"""The Open Inference Protocol's "no": its clients look at the status alone."""

_PREDICTIONS = (
    "predictions",
    "predictions_below",
    "version_predictions",
    "version_predictions_below",
    "explanations",
    "version_explanations",
    "version_explanations_below",
    "invocations",
    "invoke",
    "predict",
    "version_predict",
    "kserve_v1_predict",
    "kserve_v1_explain",
    "kserve_v2_infer",
    "kserve_v2_explain",
    "kserve_v2_version_infer",
    "kserve_v2_version_explain",
)


@frozen(eq=False)
class InferenceApi:
    """
    Everything that an inference listener answers.

    :param routes: those of the listener, for the descriptions of single models.
    :param start_up: which models of the start are still to come, for readiness.
    :param is_stopping: whether the server is about to end: it is not ready then.
    """

    front: InferenceEndpoint
    registry: Registry
    responder: KleinResponder
    routes: tuple[Route, ...]
    start_up: LoadStatus = field(factory=LoadStatus)
    is_stopping: Callable[[], bool] = lambda: False

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        return {
            **dict.fromkeys(_PREDICTIONS, self.predict),
            "ping": self.ping,
            "ping_below": self.ping,
            "live": self.live,
            "ready": self.ready,
            **{f"{operation}Description": self.describe_routes for operation in _PREDICTIONS},
            "kserve_v2_server": self.describe_server,
            "kserve_v2_live": self.protocol_live,
            "kserve_v2_ready": self.protocol_ready,
            "kserve_v2_model": self.describe_tensors,
            "kserve_v2_version": self.describe_tensors,
            "kserve_v2_model_ready": self.is_model_ready,
            "kserve_v2_version_ready": self.is_model_ready,
        }

    async def predict(self, request: Request, **variables: str) -> bytes:
        """Answer a prediction; which one, its URL says."""
        return await self.front.predict_request(request)

    def ping(self, request: Request, **variables: str) -> bytes:
        """Tell whether the models have their workers."""
        return self.responder.render(request, self.front.ping())

    def live(self, request: Request) -> bytes:
        """Tell that the server runs."""
        return self._send(request, {"live": True})

    def ready(self, request: Request) -> bytes:
        """Tell whether every model that is meant to have workers has one."""
        unready = unready_models(self.registry, self.start_up)
        is_ready = not unready and not self.is_stopping()
        body: dict[str, object] = {"ready": is_ready}
        if unready:
            body["models"] = unready
        if self.is_stopping():
            body["reason"] = "the server is stopping"
        return self._send(request, body, 200 if is_ready else 503)

    def protocol_live(self, request: Request) -> bytes:
        """The same for the Open Inference Protocol."""
        return self._send(request, {"live": True})

    def protocol_ready(self, request: Request) -> bytes:
        """Whether all models can be asked."""
        is_ready = health_of(self.registry).is_healthy and not self.is_stopping()
        return self._send(request, {"ready": is_ready}, 200 if is_ready else NOT_READY)

    def describe_server(self, request: Request) -> bytes:
        """Tell which server this is; the misspelt key is TorchServe's."""
        extensions = ["kserve", "kubeflow", "binary_tensor_data"]
        body = {
            "name": "Torchserve",
            "version": modelserver.__version__,
            "extenstion": extensions,
            "extensions": extensions,
        }
        return self._send(request, body)

    def describe_tensors(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """A model's metadata: what ``inputs`` and ``outputs`` of its model-config say."""
        spec = self.registry.get(model_name, model_version).spec
        versions = [version.spec.version for version in self.registry.versions(model_name)]
        body = {
            "name": spec.name,
            "versions": versions,
            "platform": spec.engine or "pytorch",
            "inputs": _tensors(spec.config.get("inputs")),
            "outputs": _tensors(spec.config.get("outputs")),
        }
        return self._send(request, body)

    def is_model_ready(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Whether a worker has loaded the model."""
        version = self.registry.get(model_name, model_version)
        is_ready = version.pool.ready > 0
        return self._send(request, {"name": model_name, "ready": is_ready}, 200 if is_ready else NOT_READY)

    async def describe_routes(self, request: Request, **variables: str) -> bytes:
        """Describe the inference routes of a model."""
        name, version, *_ = self.front.prediction_of(request)
        if name is None or name not in self.registry.names():
            raise ModelNotFound(name or "")
        self.registry.get(name, version)
        document = model_document(self.routes, self.responder.dialect.name, name, ListenerRole.INFERENCE)
        return self._send(request, document)

    def _send(self, request: Request, body: object, code: int = 200) -> bytes:
        return self.responder.render(request, Reply(code, pretty(body)))


def _tensors(value: object) -> list[object]:
    return value if isinstance(value, list) else []
