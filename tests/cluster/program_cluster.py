"""Nodes whose agents a driver of the tests starts: all of a cluster but Ray."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import define, field

from bench.program_driver import NODES
from tests.cluster.network_nodes import SERVER, NetworkNode


@define(eq=False)
class ProgramCluster:
    """
    Nodes, and the file by which the driver knows them.

    :param folder: for that file.
    """

    folder: Path
    nodes: list[NetworkNode] = field(factory=list)
    properties: Mapping[str, str] = field(factory=lambda: {"ray_address": "auto"}, init=False)
    program: Sequence[str] = ("-m", "bench.program_server")

    @property
    def environment(self) -> Mapping[str, str]:
        """What a server needs to know of it."""
        return {NODES: str(self._file)}

    @property
    def _file(self) -> Path:
        return self.folder / "nodes.json"

    def start(self) -> None:
        """Tell the driver which nodes there are."""
        rows = [
            {
                "name": node.name,
                "prefix": list(node.prefix),
                "address": node.address,
                "processors": node.processors,
                "environment": dict(node.environment),
            }
            for node in self.nodes
            if node.is_alive
        ]
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"host": SERVER, "python": sys.executable, "nodes": rows}))
        fresh.rename(self._file)

    def leave_out(self, node: NetworkNode) -> None:
        """Place nothing there any more."""
        node.is_alive = False
        self.start()

    def kill(self, node: NetworkNode) -> None:
        """End a node as a power failure of its processes would; nothing is placed there any more."""
        self.leave_out(node)
        node.kill()

    def end(self) -> None:
        """Leave nothing behind."""
        for node in self.nodes:
            node.remove()
