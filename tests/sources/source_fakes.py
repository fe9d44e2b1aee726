"""Surroundings of the sources in memory: threads, names, a policy that knows test hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IHostnameResolver
from zope.interface import implementer


def at_once(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Instead of a thread: now."""
    return maybeDeferred(function, *args, **kwargs)


@define
class HeldThreads:
    """Instead of threads: calls that wait until the test runs them."""

    calls: list[Callable[[], None]] = field(factory=list)

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        result: Deferred[Any] = Deferred()
        self.calls.append(
            lambda: maybeDeferred(function, *args, **kwargs).chainDeferred(result)  # type: ignore[arg-type]
        )
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
