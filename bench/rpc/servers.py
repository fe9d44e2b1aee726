"""The servers that are called over gRPC: this one and TorchServe, as they are, and a bare grpc.aio server."""

from __future__ import annotations

import socket
import sys
import time
from importlib.util import find_spec

from attrs import define

from bench.servers import CHECKOUT
from bench.target import HOST, START_SECONDS, Deployment, Target, TargetFailed


@define
class GrpcEcho(Target):
    """A bare grpc.aio server: no model, no worker, no log; what grpc's own Python server can do at best."""

    is_server = False

    def command(self) -> list[str]:
        """The echo server, on the port of gRPC."""
        return [sys.executable, "-m", "bench.rpc.echo_server", str(self.rpc_port)]

    def environment(self) -> dict[str, str]:
        """It is found in the checkout."""
        return {"PYTHONPATH": str(CHECKOUT)}

    def is_up(self) -> bool:
        """Whether its port takes connections; it has no HTTP to ask."""
        return _takes_connections(self.rpc_port)

    def register(self, deployment: Deployment) -> float:
        """There is nothing to register."""
        return 0.0

    def unregister(self, name: str) -> float:
        """There is nothing to remove."""
        return 0.0


def wait_for_rpc(target: Target) -> None:
    """
    Return when gRPC is there: TorchServe opens its ports seconds after those of REST.

    :raises TargetFailed: it does not come.
    """
    latest = time.monotonic() + START_SECONDS
    while not _takes_connections(target.rpc_port):
        if time.monotonic() > latest:
            raise TargetFailed(f"{target.name} has no gRPC")
        time.sleep(0.05)


def _takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def has_grpcio() -> bool:
    """Whether the interpreter of the bench has grpcio, for the echo server and for the checks of answers."""
    return find_spec("grpc") is not None
