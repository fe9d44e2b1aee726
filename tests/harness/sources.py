"""Surroundings of the sources in memory: threads, names, a policy that knows test hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IHostnameResolver
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse
from zope.interface import implementer


@define
class HeldThreads:
    """Instead of threads: calls that wait until the test runs them."""

    calls: list[Callable[[], object]] = field(factory=list)

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.calls.append(lambda: maybeDeferred(function, *args, **kwargs).chainDeferred(result))
        return result

    def run(self, index: int = 0) -> None:
        """Run one call that waits."""
        self.calls.pop(index)()

    def run_all(self) -> None:
        """Run every call, also those that calls lead to."""
        while self.calls:
            self.run()


@implementer(IHostnameResolver)
@define
class FakeResolver:
    """Answers each resolution with the next of its answers, and repeats the last."""

    answers: list[Sequence[str]]
    asked: list[str] = field(factory=list)

    def resolveHostName(
        self,
        receiver: Any,
        host: str,
        port: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        receiver.resolutionBegan(None)
        for address in answer:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()
        return None


def names_in(folder: Path) -> list[str]:
    """Everything in a folder, hidden files included."""
    return sorted(path.name for path in folder.iterdir())


@implementer(IResponse)
@define(eq=False)
class FakeResponse:  # type: ignore[misc]  # as much of it as a download asks
    """A response whose body comes when the test says so."""

    code: int = 200
    length: Any = UNKNOWN_LENGTH
    location: str | bytes | None = None
    closed: bool = False
    protocol: Any = None
    arrived: list[bytes] = field(factory=list)
    reason: Any = None

    @property
    def headers(self) -> Headers:
        """The header fields."""
        location = self.location
        if isinstance(location, str):
            location = location.encode()
        return Headers({} if location is None else {b"location": [location]})

    def deliverBody(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self)
        for data in self.arrived:
            protocol.dataReceived(data)
        if self.reason is not None:
            protocol.connectionLost(self.reason)

    def say(self, *pieces: bytes) -> FakeResponse:
        """Let bytes of the body arrive."""
        for data in pieces:
            if self.protocol is None:
                self.arrived.append(data)
            else:
                self.protocol.dataReceived(data)
        return self

    def end(self, reason: Exception | None = None) -> FakeResponse:
        """Let the body end, or break off."""
        self.reason = Failure(reason or ResponseDone())
        if self.protocol is not None:
            self.protocol.connectionLost(self.reason)
        return self

    def loseConnection(self) -> None:
        self.closed = True

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


@implementer(IAgent)
@define(eq=False)
class FakeAgent:
    """Answers requests with the responses that it is given, in order; without one, later or never."""

    responses: list[FakeResponse] = field(factory=list)
    requests: list[tuple[str, Headers]] = field(factory=list)
    waiting: list[Deferred[Any]] = field(factory=list)

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        self.requests.append((uri.decode(), headers or Headers()))
        if self.responses:
            return succeed(self.responses.pop(0))
        self.waiting.append(Deferred())
        return self.waiting[-1]

    @property
    def urls(self) -> list[str]:
        """The URLs that were asked for."""
        return [url for url, _ in self.requests]
