"""A Ray cluster on this machine: a head and faked nodes, each with raylets and workers of its own."""

from __future__ import annotations

import os
import secrets
from importlib.util import find_spec
from typing import Any
from unittest import SkipTest

from modelserver.backends.ray.token_check import own_token
from tests.harness.server_process import ROOT

_TOKEN = secrets.token_hex(32)
"""That of all clusters of this process: Ray reads its token once in each."""


class FakedCluster:
    """
    A cluster of ``ray.cluster_utils``, which asks for a token.

    The head has no processors: what is placed is on the nodes.
    """

    def __init__(self, processors: tuple[int, ...]) -> None:
        if find_spec("ray") is None:
            raise SkipTest("Ray is not installed (an environment of its own: docs/ray.md)")
        self._added = own_token(_TOKEN)
        # Nodes find the checkout by its folder. That it is installed for editing, in an environment whose
        # packages Ray's sees (.ci/run), does not count there: the files of such installs are not read.
        paths = [ROOT, os.environ.get("PYTHONPATH", "")]
        self._added["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._before = {name: os.environ.get(name) for name in self._added}
        os.environ.update(self._added)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 1 << 27}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes: list[Any] = [
            self._cluster.add_node(num_cpus=count, resources={f"node{place}": 1}, object_store_memory=1 << 27)
            for place, count in enumerate(processors)
        ]
        self.address = str(self._cluster.address)

    def kill(self, place: int) -> None:
        """End a node as a power failure would: its raylet, and whatever runs below it."""
        import psutil

        raylet = self.nodes[place].all_processes["raylet"][0].process
        below = psutil.Process(raylet.pid).children(recursive=True)
        for process in (psutil.Process(raylet.pid), *below):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass

    def end(self) -> None:
        """End it all."""
        self._cluster.shutdown()
        for name, text in self._before.items():
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
