"""One case after the other, on each server in turn: it is started, warmed up, asked and ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import attrs
from attrs import frozen

from bench.cases import Case
from bench.load import Figures, Load, LoadFailed, put
from bench.processes import Tree
from bench.runner import Row, deployment
from bench.servers import ModelServer
from bench.target import TargetFailed
from bench.today.peers import Peer, PeerServer

OWN = "modelserver"


@frozen
class Served:
    """A server that serves a case: what to ask it, and its processes."""

    load: Load
    tree: Tree


class Contender(Protocol):
    """A server that takes part."""

    @property
    def name(self) -> str:
        """As tables have it."""

    def serve(self, case: Case, folder: Path) -> AbstractContextManager[Served]:
        """
        Start it for a case, and end it.

        :raises TargetFailed: it does not start, or answers wrongly.
        """


@frozen
class Own:
    """This server, with one worker."""

    make: Callable[[Path], ModelServer]
    name: str = OWN

    @contextmanager
    def serve(self, case: Case, folder: Path) -> Iterator[Served]:
        """Start it and register the handler."""
        body = case.write_body(folder)
        server = self.make(folder / "own")
        server.start()
        try:
            server.register(deployment(case, 1))
            yield Served(Load(server.port, f"/predictions/{case.name}", body, 1, 1, case.length), server.tree)
        finally:
            server.stop()


@frozen
class Other:
    """A peer in its environment."""

    peer: Peer
    home: Path

    @property
    def name(self) -> str:
        """The peer's name."""
        return self.peer.name

    @contextmanager
    def serve(self, case: Case, folder: Path) -> Iterator[Served]:
        """Start its program, and compare its first answer with what the handler must answer."""
        path = case.write_body(folder)
        body = path.read_bytes() if path is not None else b""
        server = PeerServer(
            self.name,
            folder / self.peer.key,
            peer=self.peer,
            home=self.home,
            deployment=deployment(case, 1),
            body=body,
        )
        if not server.can_serve(case.handler):
            raise TargetFailed(f"{self.name} cannot serve it")
        server.start()
        try:
            check(case, body, server)
            written = folder / f"{self.peer.key}-{case.name}"
            written.write_bytes(server.format.encode(body))
            load = Load(
                server.port,
                self.peer.path,
                written,
                1,
                1,
                len(server.raw),
                content_type=server.format.content_type,
            )
            yield Served(load, server.tree)
        finally:
            server.stop()


def check(case: Case, body: bytes, server: PeerServer) -> None:
    """
    Compare a peer's answer with the handler's.

    :raises TargetFailed: it is another.
    """
    answer = server.answer
    right = answer == body if case.handler == "echo" else len(answer) == case.length
    if not right:
        raise TargetFailed(f"{server.name} answered {answer[:80]!r} to {case.name}")


@frozen
class Plan:
    """
    How long and how often.

    :param seconds: of each measurement.
    :param warm_seconds: of load before the measurements of a start.
    :param rounds: how often each server is started for a case.
    """

    connections: Sequence[int]
    seconds: int
    warm_seconds: int
    rounds: int
    client: str


def contest(
    case: Case, contenders: Sequence[Contender], plan: Plan, folder: Path, say: Callable[[str], None]
) -> Iterator[Row]:
    """Measure a case on each server in turn; one that cannot serve it is named."""
    for number in range(plan.rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            try:
                with contender.serve(case, folder / str(number)) as served:
                    yield from _measure(case, contender.name, served, plan, say)
            except (TargetFailed, LoadFailed) as error:
                say(f"{case.name}: skipped: {error}")


def _measure(case: Case, name: str, served: Served, plan: Plan, say: Callable[[str], None]) -> Iterator[Row]:
    """
    Warm a server up and measure it, with few connections first.

    What a client leaves unanswered at its end is still worked off in the next measurement: few, too.
    """
    warm = attrs.evolve(served.load, connections=min(plan.connections), seconds=plan.warm_seconds)
    put(warm, served.tree, plan.client)
    for connections in sorted(plan.connections):
        load = attrs.evolve(served.load, connections=connections, seconds=plan.seconds)
        figures = put(load, served.tree, plan.client)
        say(_line(case, name, connections, figures))
        yield Row(case.name, name, 1, connections, figures)


def _line(case: Case, name: str, connections: int, figures: Figures) -> str:
    errors = f", {figures.errors} errors ({figures.first_error})" if figures.errors else ""
    return (
        f"{case.name}, {connections} connections, {name}: {figures.rate:,.0f} requests/s, "
        f"{figures.cpu * 1e6:,.0f} us of CPU each{errors}"
    )
