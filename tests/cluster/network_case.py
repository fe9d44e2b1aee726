"""A server and nodes in networks of their own: what its tests have in common, whoever places workers."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol
from unittest import SkipTest, TestCase

from tests.cluster.handlers import ECHO
from tests.cluster.network_nodes import SERVER, NetworkNode, OwnNetwork
from tests.harness.server_process import LONGEST, ServerProcess

_own: list[OwnNetwork] = []


def enter_network() -> None:
    """
    Have a network of one's own for the tests of a module.

    :raises SkipTest: it was not asked for.
    """
    if os.environ.get("CLUSTER_NETWORK") != "1":
        raise SkipTest("CLUSTER_NETWORK=1 has these tests run; they need root")
    _own.append(OwnNetwork())


def leave_network() -> None:
    """Go back."""
    while _own:
        _own.pop().leave()


class NodeCluster(Protocol):
    """Nodes, and what a server has to be told of them."""

    nodes: list[NetworkNode]
    program: Sequence[str]

    @property
    def properties(self) -> Mapping[str, str]:
        """What the server's configuration says."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the server has to have in its environment."""

    def start(self) -> None:
        """Have workers placed on the nodes that there are now."""

    def leave_out(self, node: NetworkNode) -> None:
        """Place nothing there any more."""

    def kill(self, node: NetworkNode) -> None:
        """End a node as a power failure of its processes would."""

    def end(self) -> None:
        """Leave nothing behind."""


class NetworkCase(TestCase):
    """A server, and so many nodes."""

    silence, lost = 1.0, 15.0
    patience = LONGEST
    """Seconds that a registration may take: with its workers' start, which a busy machine makes long."""
    cluster: NodeCluster
    server: ServerProcess

    def new_cluster(self, folder: Path) -> NodeCluster:
        """A cluster without nodes; ``folder`` is for its files."""
        raise NotImplementedError

    def start(self, nodes: int, processors: int = 1) -> None:
        """Start the server; nothing is placed yet."""
        folder = self.folder_with_cluster()
        self.cluster.nodes += [NetworkNode(number, processors) for number in range(1, nodes + 1)]
        self.cluster.start()
        self.serve_from(folder / "server")

    def folder_with_cluster(self) -> Path:
        """A folder, and a cluster without nodes."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.cluster = self.new_cluster(Path(folder.name))
        self.addCleanup(self.cluster.end)
        self.labels: dict[str, str] = {}
        return Path(folder.name)

    def serve_from(self, folder: Path) -> None:
        """Start a server, which is the test's from now on."""
        self.server = self.new_server(folder)
        self.server.start()
        self.addCleanup(self.server.end)

    def new_server(self, folder: Path) -> ServerProcess:
        """A server with a model in its store, which is not started yet."""
        folder.mkdir()
        server = ServerProcess(
            folder,
            {
                **self.cluster.properties,
                "remote_address": SERVER,
                "remote_silence": f"{self.silence:g}",
                "remote_lost": f"{self.lost:g}",
                "disable_token_authorization": "true",
                "enable_model_api": "true",
            },
            environment=self.cluster.environment,
            program=self.cluster.program,
            patience=self.patience,
        )
        server.store.mkdir()
        server.add_model("echo", ECHO)
        return server

    def serve(self, workers: int) -> None:
        """Serve ``echo`` with so many workers on the nodes."""
        answer = self.server.register("echo.mar", placement="ray", initial_workers=workers)
        self.assertEqual(200, answer.status, answer.text)
        self.assertEqual(workers, self.server.ready("echo"))
        for worker in self.server.workers("echo"):
            place = worker["placement"]
            self.labels[place["address"]] = place["node"]

    def on(self, node: NetworkNode) -> list[int]:
        """The processes of workers that the server has on a node."""
        return [
            worker["pid"]
            for worker in self.server.workers("echo")
            if worker.get("placement", {}).get("address") == node.address and worker.get("pid")
        ]

    def metric(self, name: str, node: NetworkNode) -> float:
        """A number of a node, as the server's metrics have it; 0 where there is none."""
        begin = f'modelserver_node_{name}{{node="{self.labels.get(node.address)}",'
        found = [line for line in self.server.scrape().splitlines() if line.startswith(begin)]
        return float(found[0].split()[-1]) if found else 0.0
