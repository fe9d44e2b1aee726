"""The spans of gRPC calls, by OpenTelemetry's conventions: stands before the services of a listener."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field
from twisted.python.failure import Failure

from modelserver.errors import ServingError
from modelserver.language.attributes import define
from modelserver.protocol.frames import show_id
from modelserver.rpc.codes import CallStatus, Code
from modelserver.rpc.interfaces import Call, CallSite, EndedCall, RpcMethod
from modelserver.rpc.methods import HEALTH, REFLECTION
from modelserver.traces import Trace, Tracer, server_named

UNTRACED = frozenset((HEALTH, *REFLECTION))
"""Services that tell of the server itself, and are asked every few seconds."""
PING = "Ping"
FAILURES = frozenset(
    (
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    )
)
"""Codes that a server's span has as errors; the others are the client's."""


@define(eq=False)
class TracedMethod:
    """An ``RpcMethod`` that does what it does on behalf of the call's trace, if it has one."""

    method: RpcMethod
    name: str = field(init=False)
    streams_in: bool = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.name, self.streams_in = self.method.name, self.method.streams_in

    def begin(self, call: Call) -> None:
        """Take a call whose messages are to follow."""
        if call.trace is None:
            self.method.begin(call)
        else:
            call.trace.run(self.method.begin, call)

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Take a message."""
        if call.trace is None:
            self.method.message(call, message)
        else:
            call.trace.run(self.method.message, call, message)


@define(eq=False)
class TracedSite:
    """A ``CallSite`` that traces some calls; the others cost a look at the sampler."""

    site: CallSite
    tracer: Tracer
    largest: int = field(init=False)
    status_of: Callable[[ServingError], CallStatus] = field(init=False)
    log_failure: Callable[[Failure], None] = field(init=False)
    _methods: dict[bytes, TracedMethod] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.largest = self.site.largest
        self.status_of, self.log_failure = self.site.status_of, self.site.log_failure

    def find(self, path: bytes) -> RpcMethod | None:
        """Return the method with exactly this path."""
        known = self._methods.get(path)
        if known is None:
            method = self.site.find(path)
            if method is None:
                return None
            known = self._methods[path] = TracedMethod(method)
        return known

    def is_open(self, method: RpcMethod) -> bool:
        """Return False: each call may be one that is traced."""
        return False

    def begin(self, call: Call, method: RpcMethod) -> None:
        """
        Begin the trace of a call, and decide on access.

        :raises ServingError: the call may not be made.
        :raises CallRefused: likewise.
        """
        path = method.name.removeprefix("/")
        service, _, name = path.partition("/")
        if service in UNTRACED or name == PING:
            self.site.begin(call, method)
            return
        trace = self.tracer.begin(call.field(b"traceparent"), call.field(b"tracestate"), call.arrived)
        if trace is None:
            self.site.begin(call, method)
            return
        call.trace = trace
        trace.named(path)
        trace.note(
            {
                "rpc.system.name": "grpc",
                "rpc.method": path,
                **server_named(call.authority),
                "client.address": call.peer.removeprefix("/").rpartition(":")[0] or call.peer,
            }
        )
        trace.run(self.site.begin, call, method)

    def ended(self, calls: Sequence[EndedCall], now: float) -> None:
        """Write down calls that are over, and end their traces."""
        plain = [each for each in calls if each[0].trace is None]
        if plain:
            self.site.ended(plain, now)
        if len(plain) == len(calls):
            return
        for call, code in calls:
            trace, call.trace = call.trace, None
            if trace is not None:
                trace.run(self.site.ended, [(call, code)], now)
                _end(trace, call, code)


def _end(trace: Trace, call: Call, code: Code) -> None:
    trace.note({"rpc.response.status_code": code.name})
    if call.request_id:
        trace.note({"modelserver.request.id": show_id(call.request_id).decode()})
    if code in FAILURES:
        trace.note({"error.type": code.name})
        trace.end(code.name)
    else:
        trace.end("The client has left." if code is Code.CANCELLED else None)
