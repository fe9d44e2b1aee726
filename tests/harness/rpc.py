"""gRPC's transport in memory: a listener, connections, clients, and methods in a test's hands."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from modelserver.errors import AccessDenied, BodyTooLarge, DeadlinePassed, ServerFull, ServingError
from modelserver.http1.body_memory import BodyMemory
from modelserver.http1.limits import Connections, ConnectionTimeouts
from modelserver.http1.states import Phase
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.rpc.codes import CallStatus, Code
from modelserver.rpc.connection import RpcConnection
from modelserver.rpc.engines.ngh2 import Ngh2Engine
from modelserver.rpc.factory import RpcFactory
from modelserver.rpc.http2 import EngineMaker
from modelserver.rpc.interfaces import Call, EndedCall, RpcMethod
from modelserver.rpc.limits import RpcLimits
from tests.harness.http2_client import PATH, Answered, Http2Client, message
from tests.harness.transports import MemoryTransport

CODES: dict[type[ServingError], Code] = {
    AccessDenied: Code.PERMISSION_DENIED,
    BodyTooLarge: Code.RESOURCE_EXHAUSTED,
    ServerFull: Code.RESOURCE_EXHAUSTED,
    DeadlinePassed: Code.DEADLINE_EXCEEDED,
}


@define(eq=False)
class KeptMethod:
    """Keeps its calls and their messages, for the test to answer; ``answers`` does so at once."""

    name: str
    streams_in: bool = False
    answers: Callable[[Call, bytes | None], object] = lambda call, message: None
    calls: list[Call] = field(factory=list)
    messages: list[bytes | None] = field(factory=list)
    cancelled: list[Code] = field(factory=list)

    def begin(self, call: Call) -> None:
        """Keep the call."""
        self.calls.append(call)
        call.on_cancelled = self.cancelled.append

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Keep the message."""
        if not self.streams_in:
            self.begin(call)
        kept = None if message is None else bytes(message)
        self.messages.append(kept)
        self.answers(call, kept)


def _echo(call: Call, message: bytes | None) -> None:
    call.reply(message or b"")


def _talk(call: Call, message: bytes | None) -> None:
    if message is None:
        call.finish()
    else:
        call.send(message)
        call.consumed(len(message))


def _fail(call: Call, message: bytes | None) -> None:
    raise RuntimeError("a defect")


@define(eq=False)
class RpcSite:
    """Services with a method of each kind."""

    largest: int = 6553500
    echo: KeptMethod = field(factory=lambda: KeptMethod(PATH + "Echo", answers=_echo))
    keep: KeptMethod = field(factory=lambda: KeptMethod(PATH + "Keep"))
    talk: KeptMethod = field(factory=lambda: KeptMethod(PATH + "Talk", True, _talk))
    hear: KeptMethod = field(factory=lambda: KeptMethod(PATH + "Hear", True))
    fail: KeptMethod = field(factory=lambda: KeptMethod(PATH + "Fail", answers=_fail))
    denied: set[str] = field(factory=set)
    over: list[tuple[str, Code, int, int]] = field(factory=list)
    seconds: list[float] = field(factory=list)
    together: list[int] = field(factory=list)
    """How many calls were written down each time."""
    failures: list[Failure] = field(factory=list)
    find: Callable[[bytes], RpcMethod | None] = field(init=False)

    def __attrs_post_init__(self) -> None:
        methods = (self.echo, self.keep, self.talk, self.hear, self.fail)
        self.find = {each.name.encode(): each for each in methods}.get

    def is_open(self, method: RpcMethod) -> bool:
        """Return whether ``begin`` refuses no call of it."""
        return method.name not in self.denied

    def begin(self, call: Call, method: RpcMethod) -> None:
        """Refuse what is denied."""
        if method.name in self.denied:
            raise AccessDenied("wrong key")

    def status_of(self, error: ServingError) -> CallStatus:
        """As a table would say."""
        return CallStatus(CODES.get(type(error), Code.INVALID_ARGUMENT), str(error))

    def ended(self, calls: Sequence[EndedCall], now: float) -> None:
        """Keep what is written down."""
        self.together.append(len(calls))
        for call, code in calls:
            self.over.append((call.method, code, call.received, call.sent))
            self.seconds.append(now - call.arrived)

    def log_failure(self, failure: Failure) -> None:
        """Keep a defect."""
        self.failures.append(failure)


@define(eq=False)
class RpcStage:
    """
    One listener. ``more`` are arguments of its factory.

    :param limit: connections that it may have; 0: any number.
    :param make_transport: makes what is below a connection.
    """

    make_engine: EngineMaker = Ngh2Engine
    limits: RpcLimits = field(factory=RpcLimits)
    timeouts: ConnectionTimeouts = field(factory=ConnectionTimeouts)
    memory: BodyMemory = field(factory=BodyMemory)
    slots: SharedMemoryPool | None = None
    response_memory: int = 0
    limit: int = 0
    make_transport: Callable[[], MemoryTransport] = MemoryTransport
    site: RpcSite = field(factory=RpcSite)
    clock: Clock = field(factory=Clock)
    soon: deque[Callable[[], None]] = field(factory=deque)
    factory: RpcFactory = field(init=False)
    connections: Connections = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.clock.advance(1000.0)
        self.connections = Connections(self.clock, self.timeouts, self.memory, self.response_memory)
        self.factory = RpcFactory(
            site=self.site,
            clock=self.clock,
            run_soon=self.soon.append,
            connections=self.connections.for_listener(self.limit),
            make_engine=self.make_engine,
            limits=self.limits,
            timeouts=self.timeouts,
            memory=self.memory,
            slots=self.slots,
        )

    def connect(self, window: int = 65535, transport: MemoryTransport | None = None) -> RpcClient:
        """A client that has said hello."""
        transport = transport or self.make_transport()
        connection = self.factory.buildProtocol(transport.getPeer())
        connection.makeConnection(transport)
        client = RpcClient(self, connection, transport, Http2Client(window))
        client.pump()
        return client

    def turn(self) -> None:
        """Run what was to run soon."""
        for _ in range(len(self.soon)):
            self.soon.popleft()()

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps, and what belongs to it happen."""
        while seconds > 0:
            self.clock.advance(min(0.5, seconds))
            seconds -= 0.5
            self.turn()


@define(eq=False)
class RpcClient:
    """One connection with its client."""

    stage: RpcStage
    connection: RpcConnection
    transport: MemoryTransport
    http2: Http2Client
    is_lost: bool = False

    @property
    def is_ended(self) -> bool:
        """Whether the server has ended the connection: nothing more comes."""
        return self.transport.is_closing or self.connection.phase is Phase.LINGER

    def pump(self) -> None:
        """Carry bytes both ways, turn by turn, until nothing moves; what is paused stays."""
        while True:
            self.stage.turn()
            down = self.transport.value()
            self.transport.clear()
            self.http2.feed(down)
            up = self.http2.output() if self.transport.is_reading else b""
            if up:
                self.deliver(up)
            if not up and not down and not self.stage.soon:
                return

    def deliver(self, data: bytes) -> None:
        """Have bytes arrive: in one read, but where the transport receives into a sink."""
        transport = self.transport
        while data and (sink := transport.sink) is not None:
            room = sink.room()
            size = min(len(room), len(data))
            room[:size], data = data[:size], data[size:]
            if not sink.filled(size):
                transport.sink = None
                sink.body_completed()
        if data:
            self.connection.dataReceived(data)

    def send(self, data: bytes) -> None:
        """Send any bytes."""
        self.connection.dataReceived(data)
        self.pump()

    def ask(self, method: str = "Echo", body: bytes = b"hello", **more: Any) -> Answered:
        """Make a call with one message."""
        stream = self.http2.request(method, message(body), **more)
        self.pump()
        return self.http2.answers[stream]

    def leave(self) -> None:
        """Close the connection."""
        self.is_lost = True
        self.connection.connectionLost()
