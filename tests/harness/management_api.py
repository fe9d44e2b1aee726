"""A management API in memory, and short words for calls to it."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define, field
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import AccessDenied
from modelserver.management.advisor import Advisor
from modelserver.management.repository import ModelRepository
from modelserver.metrics.figures import Figures
from modelserver.rest.api import Api
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.management.advice import AdviceApi
from modelserver.rest.management.calls import Calls
from modelserver.rest.management.handlers import ManagementApi
from modelserver.rest.management.repository import RepositoryApi
from modelserver.rest.management.workflows import WorkflowApi
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import MODEL_CONTROL, WORKFLOW_CONTROL, ListenerRole
from modelserver.rest.routes import select
from tests.harness.management import ManagementStage
from tests.harness.workflows import WorkflowStage

ID = "01234567-89ab-cdef-0123-456789abcdef"
NO_WORKERS = (
    'Model "noop" Version: 1.0 registered with 0 initial workers. '
    "Use scale workers API to add workers for the model."
)
IN_PROGRESS = "Processing worker updates..."


@define
class RecordingGate:
    """Notes what it is asked, and lets only the right key pass."""

    key: bytes | None = None
    asked: list[tuple[str, bytes | None]] = field(factory=list)

    def check(self, kind: str, authorization: bytes | None) -> None:
        """Note it."""
        self.asked.append((kind, authorization))
        if self.key is not None and authorization != self.key:
            raise AccessDenied()


@define
class Got:
    """An answer."""

    code: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON."""
        return json.loads(self.raw)

    @property
    def status(self) -> tuple[int, str]:
        """Code and sentence of a status answer."""
        assert list(self.body) == ["status"], self.body
        return self.code, self.body["status"]

    @property
    def error(self) -> tuple[int, str, str]:
        """Code, type and message of an error."""
        body = self.body
        assert body["code"] == self.code
        return self.code, body["type"], body["message"]


class ApiCase(SynchronousTestCase):
    """A management API in memory, and short words for calls."""

    dialect = "torchserve"

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.on = ManagementStage(Path(folder.name), self.dialect)
        self.workflows = WorkflowStage(self.on)
        self.gate = RecordingGate()
        self.serve()
        self.on.add_model("noop.mar", "noop")

    def serve(
        self,
        features: tuple[str, ...] = (MODEL_CONTROL, WORKFLOW_CONTROL),
        cors: tuple[tuple[bytes, bytes], ...] = (),
        **settings: Any,
    ) -> None:
        """Make the API anew."""
        dialect = MultiModelServer() if self.dialect == "mms" else TorchServe()
        routes = select({ListenerRole.MANAGEMENT}, self.dialect, features)
        descriptions = Descriptions(routes, self.dialect)
        responder = KleinResponder(dialect, lambda: ID, cors)
        self.figures = Figures()
        front = ManagementApi(self.on.management, responder, descriptions, **settings)
        workflows = WorkflowApi(self.workflows.management, Calls(responder, **settings))
        advisor = Advisor(self.on.management.registry, lambda: self.figures, 2)
        operations = {
            **front.operations(),
            **workflows.operations(),
            **RepositoryApi(ModelRepository(self.on.management, self.on.store), responder).operations(),
            **AdviceApi(advisor, Calls(responder, **settings)).operations(),
        }
        self.api = Api(descriptions, operations, self.gate, responder)
        self.client: Any = StubTreq(self.api.resource())

    def begin(self, method: str, path: str, **more: Any) -> Deferred[Any]:
        begun: Deferred[Any] = self.client.request(method, f"http://localhost{path}", **more)
        return begun

    def finish(self, begun: Deferred[Any]) -> Got:
        self.client.flush()
        response = self.successResultOf(begun)
        return Got(response.code, response.headers, self.successResultOf(self.client.content(response)))

    def call(self, method: str, path: str, **more: Any) -> Got:
        begun = self.begin(method, path, **more)
        self.on.load_all()
        return self.finish(begun)

    def register(self, file: str = "noop.mar", **query: object) -> Got:
        words = "".join(f"&{name}={value}" for name, value in query.items())
        got = self.call("POST", f"/models?url={file}{words}")
        self.assertLess(got.code, 300, got.raw)
        return got

    def two_versions(self) -> None:
        self.on.add_model("second.mar", "noop", "2.0")
        self.register()
        self.register("second.mar")

    @property
    def workers(self) -> list[Any]:
        return [worker for worker in self.on.stage.backend.workers if not worker.is_gone]
