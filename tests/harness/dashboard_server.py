"""
A real listener with a dashboard of many models that are fakes: run as a program, for a browser.

``python -m tests.harness.dashboard_server 500`` prints its port, and ends when its input does.
"""

from __future__ import annotations

import sys
from typing import cast

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.python.failure import Failure

from modelserver.spec import WorkerFailure
from tests.harness.dashboard import DashboardStage
from tests.harness.server_process import HOST


class UntilTheEnd(Protocol):
    """Stops the reactor when nobody listens any more."""

    def connectionLost(self, reason: Failure | None = None) -> None:
        """Stop."""
        cast(PosixReactorBase, reactor).stop()


def main() -> None:
    """Serve until the end of the input; seconds pass as real ones do."""
    stage = DashboardStage()
    for number in range(int(sys.argv[1])):
        stage.add(f"model-{number:04}", workers=2)
    for number in range(0, len(stage.stage.backend.workers), 40):
        stage.stage.backend.workers[number].exit(WorkerFailure("exit", 5.0, exit_code=1))
    running = cast(PosixReactorBase, reactor)

    def tick() -> None:
        stage.stage.clock.advance(0.01)
        running.callLater(0.01, tick)

    tick()
    port = cast(IReactorTCP, reactor).listenTCP(0, stage.factory, interface=HOST)
    StandardIO(UntilTheEnd())
    print(cast(IPv4Address, port.getHost()).port, flush=True)
    running.run()


if __name__ == "__main__":
    main()
