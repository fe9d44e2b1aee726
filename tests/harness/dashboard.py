"""A dashboard over workers in memory, asked through the connections of its listener."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.http1.connection import Connection
from modelserver.http1.factory import ConnectionFactory
from modelserver.http1.limits import ListenerConnections
from modelserver.inference.health import ServerHealth
from modelserver.inference.model_extensions import ModelExtensions
from modelserver.inference.predict import Inference
from modelserver.interfaces import Dialect
from modelserver.logs.recent import RecentLines
from modelserver.management.descriptions import Facts, describe_version
from modelserver.metrics.declaration_files import load
from modelserver.metrics.history import History
from modelserver.metrics.recorder import MetricsInputs, MetricsRecorder, MetricsSettings
from modelserver.rest.api import Api
from modelserver.rest.dashboard.assets import load_assets
from modelserver.rest.dashboard.details import ConfiguredKey
from modelserver.rest.dashboard.handlers import DashboardApi
from modelserver.rest.dashboard.parts import DashboardParts
from modelserver.rest.dashboard.state import DashboardSources
from modelserver.rest.dashboard.viewers import Viewers
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.inference.front import InferenceEndpoint
from modelserver.rest.inference.handlers import InferenceApi
from modelserver.rest.metrics import MetricsApi
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import DASHBOARD, ListenerRole
from modelserver.rest.routes import select
from modelserver.security.authorization import AllowAll, Authorizer
from modelserver.security.page_guard import PageGuard
from modelserver.testing.providers import MemoryWorker, Stage, make_spec
from tests.harness.connections import AccessNotes
from tests.harness.threads import at_once
from tests.harness.transports import MemoryTransport

ID = "00010203-0405-0607-0809-0a0b0c0d0e0f"
ROLES = (ListenerRole.INFERENCE, ListenerRole.METRICS, ListenerRole.MANAGEMENT)
LISTENER = "localhost:8081"
CONFIGURED = ConfiguredKey("job_queue_size", "7", "command line", "Jobs that may wait.")


@frozen
class DashboardAnswer:
    """An answer, or what there is of it so far."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def events(self) -> list[tuple[str, Any]]:
        """The events of a stream so far."""
        blocks = [block.partition(b"\ndata: ") for block in self.body.split(b"\n\n") if block]
        return [(name.removeprefix(b"event: ").decode(), json.loads(data)) for name, _, data in blocks]


@define(eq=False)
class Visitor:
    """A connection to the listener."""

    connection: Connection
    transport: MemoryTransport

    def answer(self) -> DashboardAnswer:
        """What was answered so far to the last request."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if headers.get("transfer-encoding") == "chunked":
            body = b"".join(_chunks(body))
        return DashboardAnswer(int(status.split(" ")[1]), headers, body)

    def events(self) -> list[tuple[str, Any]]:
        """The events of its stream so far."""
        return self.answer().events()

    def leave(self) -> None:
        """Close the connection."""
        self.connection.connectionLost(Failure(ConnectionDone()))


def _chunks(body: bytes) -> list[bytes]:
    chunks = []
    while body:
        size, _, rest = body.partition(b"\r\n")
        chunks.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return chunks


@define(eq=False)
class DashboardStage:
    """
    One listener for everything, with a dashboard, and as many models as are added.

    :param gate: decides about keys.
    """

    store: Path | None = None
    dialect: Dialect = field(factory=TorchServe)
    gate: Authorizer = field(factory=AllowAll)
    features: tuple[str, ...] = (DASHBOARD,)
    has_guard: bool = True
    stage: Stage = field(factory=Stage, init=False)
    registry: Registry = field(factory=Registry, init=False)
    recorder: MetricsRecorder = field(init=False)
    lines: RecentLines = field(factory=RecentLines, init=False)
    viewers: Viewers = field(init=False)
    factory: ConnectionFactory = field(init=False)
    failures: list[Failure] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        stage = self.stage
        inputs = MetricsInputs(
            now=stage.now,
            versions=lambda: [
                describe_version(each, self.registry.is_default(each), Facts())
                for each in self.registry.all()
            ],
            is_served=self.registry.has,
            write_server=lambda line: None,
            write_model=lambda line: None,
        )
        self.recorder = MetricsRecorder(MetricsSettings(load(), "prometheus", False, "vm"), inputs)
        stage.providers = evolve(stage.providers, recorder=self.recorder)
        sources = DashboardSources(
            versions=inputs.versions,
            figures=self.recorder.figures,
            history=History(stage.clock, self.recorder.figures),
            lines=self.lines.since,
            now=stage.now,
            traits={"dialect": self.dialect.name},
        )
        self.viewers = Viewers(sources, stage.clock, at_once)
        self.viewers.startService()
        self.factory = self._make_factory()

    def _make_factory(self) -> ConnectionFactory:
        clock = self.stage.clock
        inference = Inference(self.registry, Deadlines(clock), clock, self.recorder, bytes)
        endpoint = InferenceEndpoint(
            inference=inference,
            registry=self.registry,
            dialect=self.dialect,
            recorder=self.recorder,
            access_log=AccessNotes(),
            gate=self.gate,
            clock=clock,
            entropy=bytes,
        )
        responder = KleinResponder(self.dialect, lambda: ID, ((b"access-control-allow-origin", b"*"),))
        descriptions = Descriptions(select(ROLES, self.dialect.name, self.features), self.dialect.name)
        parts = DashboardParts(
            viewers=self.viewers,
            registry=self.registry,
            inference=inference,
            assets=load_assets(),
            in_thread=at_once,
            store=self.store,
            configuration=(CONFIGURED,),
        )
        served = {route.operation for route in descriptions.routes} - {"apiDescription", "api-description"}
        operations = {
            **{operation: lambda request, **variables: b"" for operation in served},
            **InferenceApi(
                endpoint,
                self.registry,
                ServerHealth(self.registry),
                responder,
                descriptions,
                ModelExtensions(endpoint.either, self.recorder.figures),
            ).operations(),
            **MetricsApi(self.recorder.pieces, responder, self.stage.call_soon).operations(),
            **DashboardApi(parts, responder, self.gate).operations(),
        }
        guard = PageGuard() if self.has_guard else None
        return ConnectionFactory(
            Api(descriptions, operations, self.gate, responder, guard).resource,
            handler=endpoint,
            run_soon=self.stage.call_soon,
            connections=ListenerConnections(set()),
            log_failure=self.failures.append,
        )

    def add(self, name: str = "noop", version: str = "1.0", workers: int = 1, **more: object) -> ModelVersion:
        """Serve a version with workers that are ready."""
        added = self.stage.version(make_spec(name, version, **more))
        self.registry.add(added)
        added.pool.scale(workers, workers)
        for worker in (
            self.stage.backend.workers[len(self.stage.backend.workers) - workers :] if workers else ()
        ):
            worker.load()
        self.stage.turn()
        return added

    @property
    def last_worker(self) -> MemoryWorker:
        """The newest worker."""
        return self.stage.backend.last

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Visitor:
        """Send a request on a connection of its own, and let the server work on it."""
        transport = MemoryTransport()
        connection = self.factory.buildProtocol(transport.getPeer())
        connection.makeConnection(transport)
        fields = {"Host": LISTENER, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if body:
            fields["Content-Length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        connection.dataReceived(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
        self.stage.turn()
        return Visitor(connection, transport)

    def get(self, path: str, method: str = "GET", **headers: str) -> DashboardAnswer:
        """The answer to a request without a body."""
        return self.ask(method, path, b"", **headers).answer()

    def watch(self, **headers: str) -> Visitor:
        """Open the stream."""
        return self.ask("GET", "/dashboard/stream", b"", **headers)

    def serve(self, count: int = 1, name: str = "noop", wait: float = 0.0) -> None:
        """Have a model answer so many requests, one after the other."""
        for _ in range(count):
            self.ask("POST", f"/predictions/{name}", b"x")
            self.stage.clock.advance(wait)
            next(each for each in self.stage.backend.workers if each.batches and not each.is_gone).answer()
            self.stage.turn()
