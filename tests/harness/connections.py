"""Connections over a transport in memory, in endpoint of the real inference API and a worker in memory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import define, field, frozen
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.errors import PredictionFailed
from modelserver.http1.asyncio_transport import BodySink
from modelserver.http1.connection import Connection
from modelserver.http1.factory import ConnectionFactory
from modelserver.http1.head import RequestHead
from modelserver.http1.limits import ListenerConnections
from modelserver.http1.listener_context import ListenerContext
from modelserver.http1.states import OpenConnection
from modelserver.inference.health import ServerHealth
from modelserver.inference.model_extensions import ModelExtensions
from modelserver.inference.predict import Inference
from modelserver.jobs import Answer, Job, SharedSlot
from modelserver.metrics.figures import Figures
from modelserver.protocol.frames import ID_SIZE
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rest.api import Api
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings
from modelserver.rest.inference.handlers import InferenceApi
from modelserver.rest.metrics import MetricsApi
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import ListenerRole
from modelserver.rest.routes import select
from modelserver.security.authorization import AllowAll
from modelserver.testing.providers import MemoryWorker, Stage, make_spec
from tests.harness.transports import MemoryTransport

LARGEST_BODY = 4096
SETTINGS = InferenceSettings(LARGEST_BODY)
ID = bytes(range(ID_SIZE))
_TEXT_ID = "00010203-0405-0607-0809-0a0b0c0d0e0f"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ([^\r\n]*)\r\n")


@frozen
class Got:
    """An answer as a client reads it."""

    status: int
    phrase: bytes
    headers: dict[bytes, bytes]
    body: bytes


@frozen
class Asked:
    """What reached the worker of one request."""

    model: str
    version: str
    head: tuple[tuple[bytes, bytes], ...]
    extra: bytes
    flags: int
    body: bytes


class TwistedWebEndpoint(InferenceEndpoint):
    """Serves nothing plain: every request reaches its Klein route."""

    def classify(self, head: RequestHead) -> None:
        return None


@define
class AccessNotes:
    """The access log in memory."""

    notes: list[tuple[str, str, int]] = field(factory=list)
    ids: list[bytes] = field(factory=list)
    remotes: list[str] = field(factory=list)

    traces: list[str] = field(factory=list)

    def record(
        self,
        remote: str,
        asked: tuple[str, str, str],
        status: int,
        milliseconds: float,
        request_id: bytes,
        trace_id: str = "",
    ) -> None:
        method, uri, _ = asked
        self.traces.append(trace_id)
        self.notes.append((method, uri, status))
        self.ids.append(request_id)
        self.remotes.append(remote)


@define(eq=False)
class ConnectionStage:
    """
    One listener, and a worker for the models ``noop`` and ``other``.

    :param endpoint_kind: ``InferenceEndpoint``, or ``TwistedWebEndpoint``.
    """

    endpoint_kind: type[InferenceEndpoint] = InferenceEndpoint
    settings: InferenceSettings = SETTINGS
    slots: SharedMemoryPool | None = None
    stage: Stage = field(factory=Stage, init=False)
    registry: Registry = field(factory=Registry, init=False)
    access: AccessNotes = field(factory=AccessNotes, init=False)
    asked: list[Asked] = field(factory=list, init=False)
    failures: list[Failure] = field(factory=list, init=False)
    factory: ConnectionFactory = field(init=False)
    connections: set[OpenConnection] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        for name in ("noop", "other"):
            version = self.stage.version(make_spec(name, batch_size=1, job_queue_size=1000))
            self.registry.add(version)
            self._start_worker(version)
        clock = self.stage.clock
        inference = Inference(self.registry, Deadlines(clock), clock, self.stage.recorder, lambda size: ID)
        dialect = TorchServe()
        endpoint = self.endpoint_kind(
            inference=inference,
            registry=self.registry,
            dialect=dialect,
            recorder=self.stage.recorder,
            access_log=self.access,
            gate=AllowAll(),
            clock=clock,
            entropy=lambda size: ID,
            settings=self.settings,
            slots=self.slots,
        )
        responder = KleinResponder(dialect, lambda: _TEXT_ID)
        descriptions = Descriptions(select({ListenerRole.INFERENCE}, dialect.name, []), dialect.name)
        handlers = {
            **InferenceApi(
                endpoint,
                self.registry,
                ServerHealth(self.registry),
                responder,
                descriptions,
                ModelExtensions(endpoint.either, Figures),
            ).operations(),
            **MetricsApi(lambda names: [], responder, self.stage.call_soon).operations(),
        }
        resource = Api(descriptions, handlers, AllowAll(), responder).resource()
        self.factory = ConnectionFactory(
            lambda: resource,
            handler=endpoint,
            run_soon=self.stage.call_soon,
            connections=ListenerConnections(self.connections),
            log_failure=self.failures.append,
        )

    @property
    def listener(self) -> ListenerContext:
        """What the connections share."""
        return self.factory.listener

    def _start_worker(self, version: ModelVersion) -> None:
        version.pool.scale(1, 1)
        self.stage.backend.last.load()
        self.stage.turn()

    def connect(self, transport: MemoryTransport | None = None) -> Client:
        """A client with a connection."""
        transport = transport or MemoryTransport()
        connection = self.factory.buildProtocol(transport.getPeer())
        connection.makeConnection(transport)
        return Client(self, connection, transport)

    def turn(self) -> None:
        """Let what was to happen soon happen; workers answer nothing."""
        self.stage.turn()

    def waiting(self) -> list[MemoryWorker]:
        """The workers that have something in hand."""
        return [worker for worker in self.stage.backend.workers if worker.batches and not worker.is_gone]

    def answer(self, *items: Answer | PredictionFailed) -> bool:
        """Answer the oldest batch, each job with its body or with these; whether there was one."""
        for worker in self.waiting():
            for job in worker.batches[0][1]:
                self._note(worker, job)
            worker.answer(*items)
            return True
        return False

    def _note(self, worker: MemoryWorker, job: Job) -> None:
        if isinstance(job.request.body, SharedSlot):
            assert self.slots is not None  # where else should it be
            body = bytes(self.slots.view(job.request.body))
        else:
            body = bytes(job.request.body)
        pairs = sorted(_pair(line) for line in job.request.header_block.split(b"\r\n") if line)
        version = worker.spec.version
        self.asked.append(
            Asked(version.name, version.version, tuple(pairs), job.request.extra, job.request.flags, body)
        )

    def settle(self) -> None:
        """Turn and answer until nothing is left to do."""
        self.turn()
        while self.answer():
            self.turn()


def _pair(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" \t")


@define(eq=False)
class Client:
    """The other end of a connection."""

    stage: ConnectionStage
    connection: Connection
    transport: MemoryTransport
    unread: bytes = field(default=b"", init=False)
    """What the client has sent and the server did not read yet."""

    def send(self, data: bytes) -> None:
        """Send, as far as the server reads."""
        self.unread += data
        self.push()

    def push(self) -> None:
        """Let the server read what it wants of what was sent."""
        while self.unread and self.transport.is_reading:
            data, self.unread = self.unread[:65536], self.unread[65536:]
            if self.transport.sink is None:
                self.connection.dataReceived(data)
            else:
                self.unread = self._fill(self.transport.sink, data) + self.unread

    def _fill(self, sink: BodySink, data: bytes) -> bytes:
        """Put bytes where they are wanted; what is left goes to the connection."""
        room = sink.room()
        size = min(len(room), len(data))
        room[:size] = data[:size]
        if not sink.filled(size):
            self.transport.sink = None
            sink.body_completed()
        return data[size:]

    def send_pieces(self, pieces: Sequence[bytes], at_once: bool = True) -> None:
        """Send in pieces; with ``at_once``, all that can be answered is answered between them."""
        for piece in pieces:
            self.send(piece)
            if at_once:
                self.stage.settle()
        self.finish()

    def finish(self) -> None:
        """Let everything happen that can, reading included."""
        for _ in range(1000):
            before = len(self.unread)
            self.stage.settle()
            self.push()
            if not self.stage.waiting() and len(self.unread) in (0, before):
                self.stage.settle()
                return
        raise AssertionError("it goes on and on")

    def leave(self) -> None:
        """Close the connection."""
        self.connection.connectionLost(Failure(ConnectionDone()))

    @property
    def got(self) -> list[Got]:
        """The answers so far, each of them whole."""
        return read_answers(self.transport.value())

    @property
    def statuses(self) -> list[int]:
        """Their codes."""
        return [got.status for got in self.got]

    @property
    def is_closing(self) -> bool:
        """Whether the server has closed its side."""
        return self.transport.is_closing


def read_answers(data: bytes) -> list[Got]:
    """
    Read answers as a strict client does.

    :raises AssertionError: the bytes are no answers.
    """
    answers = []
    while data:
        line = _STATUS.match(data)
        assert line is not None, data[:200]
        head, empty, rest = data[line.end() - 2 :].partition(b"\r\n\r\n")
        assert empty, data[:200]
        if line[1] == b"100":
            answers.append(Got(100, line[2], {}, b""))
            data = rest
            continue
        pairs = [field.partition(b":") for field in head.split(b"\r\n") if field]
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        assert len(headers) == len(pairs), f"a header is repeated: {head!r}"
        if line[1] in (b"204", b"304"):
            body, data = b"", rest
        elif headers.get(b"transfer-encoding") == b"chunked":
            body, data = _read_chunks(rest)
        else:
            length = int(headers[b"content-length"])
            body, data = rest[:length], rest[length:]
            assert len(body) == length, "an answer is cut off"
        answers.append(Got(int(line[1]), line[2], headers, body))
    return answers


def _read_chunks(data: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        chunk, end, data = data[:length], data[length : length + 2], data[length + 2 :]
        assert end == b"\r\n", "a chunk without its end"
        if not length:
            return body, data
        body += chunk
