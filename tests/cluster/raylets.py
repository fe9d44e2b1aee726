"""A Ray cluster as one is started by hand: a head, and a raylet in each node's network."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp
from unittest import SkipTest

import psutil
from attrs import define, field

from modelserver.backends.ray.token_check import own_token
from tests.cluster.network_nodes import SERVER, NetworkNode
from tests.harness.server_process import ROOT, TWISTD, eventually

PORT = 6379
_COMMAND = (sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block")
_COMMON = ("--disable-usage-stats", f"--object-store-memory={1 << 27}")


@define(eq=False)
class RayHead:
    """
    ``ray start --head`` in this process's own network, with no processors: what is placed is on nodes.

    Every raylet asks for the same token. Nodes have the folder's path, but not its files.

    :param token: the variables with it.
    """

    token: Mapping[str, str] = field(factory=lambda: own_token(secrets.token_hex(32)))
    port: int = PORT
    folder: Path = field(factory=lambda: Path(mkdtemp(prefix="msr-", dir="/tmp")), init=False)
    _process: subprocess.Popen[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        if find_spec("ray") is None:
            raise SkipTest("Ray is not installed (an environment of its own: docs/ray.md)")
        words = ("--head", f"--node-ip-address={SERVER}", f"--port={self.port}", f"--temp-dir={self.folder}")
        self._process = self.started((), (*words, "--num-cpus=0", "--include-dashboard=false"), {})

    def started(
        self, prefix: Sequence[str], words: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        """
        Start a part of the cluster, and wait until it says that it runs.

        :raises AssertionError: it does not.
        """
        output = self.folder.with_suffix(f".{secrets.token_hex(4)}")
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*prefix, *_COMMAND, *_COMMON, *words],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.token, "PYTHONPATH": ROOT, **environment},
            )
        eventually(lambda: b"Ray runtime started" in output.read_bytes() or process.poll() is not None)
        assert process.poll() is None, output.read_text()
        output.unlink()
        return process

    def end(self) -> None:
        """End it, and what it has started."""
        everything = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(True)]
        for process in everything:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
        self._process.wait(20)
        psutil.wait_procs(everything, 20)
        shutil.rmtree(self.folder, ignore_errors=True)


@define(eq=False)
class RayletCluster:
    """Nodes of a head, each with a raylet of its own."""

    head: RayHead
    nodes: list[NetworkNode] = field(factory=list, init=False)
    program: Sequence[str] = ("-c", TWISTD)
    _started: dict[int, subprocess.Popen[bytes]] = field(factory=dict, init=False)

    @property
    def properties(self) -> Mapping[str, str]:
        """What a server's configuration says of it."""
        return {"ray_address": f"{SERVER}:{self.head.port}"}

    @property
    def environment(self) -> Mapping[str, str]:
        """What a server has to have in its environment."""
        site = [path for path in sys.path if path.endswith("site-packages")]
        return {**self.head.token, "PYTHONPATH": os.pathsep.join([ROOT, *site])}

    def start(self) -> None:
        """Start the raylets of nodes that have none yet."""
        for node in self.nodes:
            if node.number not in self._started:
                mount = f'mount -t tmpfs tmpfs \'{self.head.folder}\' && exec "$0" "$@"'
                words = (f"--address={SERVER}:{self.head.port}", f"--node-ip-address={node.address}")
                self._started[node.number] = self.head.started(
                    (*node.prefix, "sh", "-c", mount),
                    (*words, f"--num-cpus={node.processors}"),
                    node.environment,
                )

    def raylet(self, node: NetworkNode) -> int:
        """Return the process id of a node's raylet."""
        (pid,) = (pid for pid in node.pids() if psutil.Process(pid).name() == "raylet")
        return pid

    def leave_out(self, node: NetworkNode) -> None:
        """Ray finds out by itself that nothing can be placed there any more."""

    def kill(self, node: NetworkNode) -> None:
        """End a node as a power failure of its processes would."""
        node.kill()
        self._started.pop(node.number).wait(20)

    def end(self) -> None:
        """Leave nothing behind."""
        for node in self.nodes:
            node.remove()
        for process in self._started.values():
            process.wait(20)
