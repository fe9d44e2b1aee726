"""The standard health service: the server, its services, and its models.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from attrs import field
from google.protobuf.message import Message
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from modelserver.errors import AccessDenied, ModelNotFound
from modelserver.inference.health import ServerHealth
from modelserver.inference.workflows import AnyInference
from modelserver.language.attributes import define, frozen
from modelserver.rpc.codes import CallRefused, Code
from modelserver.rpc.interfaces import Call
from modelserver.rpc.messages import Messages, parse
from modelserver.rpc.methods import HEALTH
from modelserver.security.authorization import Authorizer

EVERY = 1.0
"""Seconds between two looks at what calls of Watch are to be told."""
STOPPING = "The server is stopping."

SERVING, NOT_SERVING, SERVICE_UNKNOWN = 1, 2, 3


@frozen(eq=False)
class HealthState:
    """
    Tells whether something serves.

    ``""`` is the server: it serves until it stops. A service serves when every model that is meant to have
    workers has one. Any other name is a model's or a workflow's, of which those are told who may ask it.

    :param models: knows them.
    :param services: of the listener.
    :param gate: decides who may ask models.
    """

    health: ServerHealth
    models: AnyInference
    services: Collection[str]
    gate: Authorizer

    def may_be_told(self, call: Call, name: str) -> bool:
        """Return whether a client may know about a name."""
        if not name or name in self.services:
            return True
        try:
            self.gate.check("inference", call.field(b"authorization"))
        except AccessDenied:
            return False
        return True

    def of(self, name: str) -> int:
        """Return the state of a name; ``SERVICE_UNKNOWN`` for one that nothing has."""
        if not name:
            serves = self.health.is_live()
        elif name in self.services:
            serves = self.health.readiness().is_ready
        else:
            try:
                serves = self.models.is_ready(name)
            except ModelNotFound:
                return NOT_SERVING if self.health.load_status.is_coming(name) else SERVICE_UNKNOWN
        return SERVING if serves and not self.health.is_stopping() else NOT_SERVING


@define(eq=False)
class HealthCheck:
    """Answers the state of one name."""

    state: HealthState
    messages: Messages
    _response: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._response = self.messages.type_of("grpc.health.v1.HealthCheckResponse")

    def answer(self, request: Any, call: Call) -> Message:
        """
        Answer a state.

        :raises CallRefused: nothing has this name.
        """
        name = request.service
        status = self.state.of(name) if self.state.may_be_told(call, name) else SERVICE_UNKNOWN
        if status == SERVICE_UNKNOWN:
            raise CallRefused(Code.NOT_FOUND, "unknown service")
        response: Message = self._response(status=status)
        return response


@define(eq=False)
class HealthWatch:
    """
    Tells the state of one name, and again at each change.

    States are made of what many owners change, none of whom tells of it: while anybody watches, it looks.
    Calls end when the server stops, or they would hold up its end.
    """

    state: HealthState
    messages: Messages
    clock: IReactorTime
    name: str = field(default=f"/{HEALTH}/Watch", init=False)
    streams_in: bool = field(default=False, init=False)
    _told: dict[str | None, dict[Call, int]] = field(factory=dict, init=False)
    """What each client was told last, by what it watches; None: what it may not know about."""
    _timer: IDelayedCall | None = field(default=None, init=False)
    _request: Any = field(init=False)
    _response: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._request = self.messages.type_of("grpc.health.v1.HealthCheckRequest")
        self._response = self.messages.type_of("grpc.health.v1.HealthCheckResponse")

    def begin(self, call: Call) -> None:
        """Do nothing: the request comes as a whole."""

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """
        Begin to watch.

        :raises BadRequest: it is no message.
        """
        assert message is not None, "there is one where clients do not stream"
        service = parse(self._request, message).service
        name = service if self.state.may_be_told(call, service) else None
        call.on_cancelled = lambda code: self._forget(name, call)
        self._told.setdefault(name, {})[call] = -1
        self._tell(name, {call: -1})
        self._look_later()

    def look(self) -> None:
        """Tell everybody what has changed."""
        self._timer = None
        for name, told in list(self._told.items()):
            self._tell(name, dict(told))
        self._look_later()

    def _look_later(self) -> None:
        if self._timer is None and self._told:
            self._timer = self.clock.callLater(EVERY, self.look)

    def _tell(self, name: str | None, told: dict[Call, int]) -> None:
        """Tell clients the state of a name, where they were told another."""
        status = SERVICE_UNKNOWN if name is None else self.state.of(name)
        message = self._response(status=status).SerializeToString()
        is_stopping = self.state.health.is_stopping()
        for call, before in told.items():
            if status != before:
                self._told[name][call] = status
                call.send(message)
            if is_stopping:
                self._forget(name, call)
                call.finish(Code.UNAVAILABLE, STOPPING)

    def _forget(self, name: str | None, call: Call) -> None:
        call.on_cancelled = None
        told = self._told.get(name, {})
        told.pop(call, None)
        if not told:
            self._told.pop(name, None)
        if not self._told and self._timer is not None and self._timer.active():
            self._timer.cancel()
            self._timer = None
