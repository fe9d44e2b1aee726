"""Answers the inference rows of the table, for requests that Twisted Web has read."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.web.server import Request

from modelserver.core.registry import Registry
from modelserver.errors import AccessDenied
from modelserver.inference.health import ServerHealth
from modelserver.inference.metadata import ServerMetadata
from modelserver.inference.model_extensions import ModelExtensions
from modelserver.inference.targets import require_served
from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.rest.binding import Operation
from modelserver.rest.dialects.json_text import pretty
from modelserver.rest.inference.front import InferenceEndpoint
from modelserver.rest.inference.routes import PREDICTION_ROUTES, WORKFLOW_ROUTES
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import Access, ListenerRole

NOT_READY = 400
"""The Open Inference Protocol's "no": its clients look at the status alone."""


@frozen(eq=False)
class InferenceApi:
    """
    Everything that an inference listener answers.

    :param descriptions: of the listener's routes.
    :param extensions: tells more about models.
    :param has_tokens: requests need keys; readiness needs none, but tells the names of models only with one.
    """

    front: InferenceEndpoint
    registry: Registry
    health: ServerHealth
    responder: KleinResponder
    descriptions: Descriptions
    extensions: ModelExtensions
    has_tokens: bool = False

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        predictions = [route.operation for route in PREDICTION_ROUTES]
        return {
            **dict.fromkeys((*predictions, *(route.operation for route in WORKFLOW_ROUTES)), self.predict),
            "ping": self.ping,
            "ping_below": self.ping,
            "live": self.live,
            "ready": self.ready,
            **{f"{operation}Description": self.describe_routes for operation in predictions},
            "kserve_v2_server": self.describe_server,
            "kserve_v2_live": self.live,
            "kserve_v2_ready": self.protocol_ready,
            "kserve_v2_model": self.describe_tensors,
            "kserve_v2_version": self.describe_tensors,
            "kserve_v2_model_ready": self.is_model_ready,
            "kserve_v2_version_ready": self.is_model_ready,
            "kserve_v2_model_config": self.tell_configuration,
            "kserve_v2_version_config": self.tell_configuration,
            "kserve_v2_statistics": self.tell_statistics,
            "kserve_v2_model_statistics": self.tell_statistics,
            "kserve_v2_version_statistics": self.tell_statistics,
        }

    async def predict(self, request: Request, **variables: str) -> bytes:
        """Answer a prediction; which one, its URL says."""
        return await self.front.predict_request(request)

    def ping(self, request: Request, **variables: str) -> bytes:
        """Answer whether the models have their workers."""
        return self.responder.render(request, self.front.ping())

    def live(self, request: Request) -> bytes:
        """Answer that the server runs."""
        return self._send(request, {"live": self.health.is_live()})

    def ready(self, request: Request) -> bytes:
        """Answer whether every model that is meant to have workers has one."""
        readiness = self.health.readiness()
        body: dict[str, object] = {"ready": readiness.is_ready}
        if readiness.unready and self._may_see_names(request):
            body["models"] = readiness.unready
        if readiness.is_stopping:
            body["reason"] = "the server is stopping"
        return self._send(request, body, 200 if readiness.is_ready else 503)

    def _may_see_names(self, request: Request) -> bool:
        authorization = request.getHeader(b"authorization")
        if authorization is None:
            return not self.has_tokens
        try:
            self.front.gate.check(Access.INFERENCE.value, authorization)
        except AccessDenied:
            return False
        return True

    def protocol_ready(self, request: Request) -> bytes:
        """Answer whether all models can be asked."""
        is_ready = self.health.is_ready()
        return self._send(request, {"ready": is_ready}, 200 if is_ready else NOT_READY)

    def describe_server(self, request: Request) -> bytes:
        """Answer which server this is; the misspelt key is TorchServe's."""
        server = ServerMetadata()
        body = {
            "name": server.name,
            "version": server.version,
            "extenstion": server.extensions,
            "extensions": server.extensions,
        }
        return self._send(request, body)

    def describe_tensors(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Answer which tensors a model takes and returns."""
        model = self.front.either.metadata(model_name, model_version)
        body = {
            "name": model.name,
            "versions": model.versions,
            "platform": model.platform,
            "inputs": model.inputs,
            "outputs": model.outputs,
        }
        return self._send(request, body)

    def is_model_ready(self, request: Request, model_name: str, model_version: str | None = None) -> bytes:
        """Answer whether a worker has loaded the model."""
        is_ready = self.front.either.is_ready(model_name, model_version)
        return self._send(request, {"name": model_name, "ready": is_ready}, 200 if is_ready else NOT_READY)

    def tell_configuration(
        self, request: Request, model_name: str, model_version: str | None = None
    ) -> bytes:
        """Answer how a model is configured, in Triton's words."""
        return self._send(request, self.extensions.configuration(model_name, model_version))

    def tell_statistics(
        self, request: Request, model_name: str | None = None, model_version: str | None = None
    ) -> bytes:
        """Answer what was counted of a version, a model or all of them, in Triton's words."""
        return self._send(request, self.extensions.statistics(model_name, model_version))

    async def describe_routes(self, request: Request, **variables: str) -> bytes:
        """Answer with an OpenAPI document of the inference routes of a model."""
        name, version, *_ = self.front.prediction_of(request)
        assert name is not None  # prediction_of saw to it
        require_served(self.registry, name, version)
        description = self.descriptions.of_model(name, ListenerRole.INFERENCE)
        return self.responder.render(request, Reply(200, description))

    def _send(self, request: Request, body: object, code: int = 200) -> bytes:
        return self.responder.render(request, Reply(code, pretty(body)))
