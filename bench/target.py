"""One server under test: started in a folder of its own, on ports of its own, and told what to serve."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

from attrs import define, field, frozen

from bench.archives import lay_out, pack, pack_workflow
from bench.processes import Tree, end

HOST = "127.0.0.1"
START_SECONDS = 60.0
CALL_SECONDS = 60.0


class TargetFailed(Exception):
    """A server under test did not start, or refused a call that it must serve."""


@frozen
class Deployment:
    """
    A handler as it is registered.

    :param max_batch_delay: seconds.
    :param parameters: further register parameters of this server's own.
    :param extra: files beside the handler; a deployment that has some is a folder, not a zip.
    """

    name: str
    handler: str
    workers: int = 1
    batch_size: int = 1
    max_batch_delay: float = 0.1
    parameters: tuple[tuple[str, str], ...] = ()
    extra: tuple[Path, ...] = ()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, below the range of outgoing connections and below MMS's limit."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(12000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def call(
    port: int, method: str, path: str, seconds: float = CALL_SECONDS, body: bytes | None = None
) -> tuple[int, bytes]:
    """One HTTP call; a code of 0 says that nobody answered."""
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request(method, path, body=body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError as error:
        return 0, str(error).encode()
    except http.client.HTTPException as error:
        return 0, repr(error).encode()
    finally:
        connection.close()


@define
class Target(ABC):
    """
    A server under test.

    :param name: as shown in tables.
    :param folder: its own folder: store, configuration, temporary files, output.
    """

    name: str
    folder: Path
    port: int = field(init=False, default=0)
    management_port: int = field(init=False, default=0)
    _child: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _further: list[int] = field(init=False, factory=list)

    shape = "torchserve"
    is_server = True

    @abstractmethod
    def command(self) -> list[str]:
        """The command line; ports and folder are known by now."""

    def environment(self) -> dict[str, str]:
        """What is added to the environment of the child."""
        return {}

    @property
    def store(self) -> Path:
        """The model store."""
        return self.folder / "store"

    @property
    def tree(self) -> Tree:
        """The processes of the server."""
        if self._child is None:
            raise TargetFailed(f"{self.name} is not running")
        return Tree(self._child.pid)

    @property
    def metrics_port(self) -> int:
        """The port of metrics."""
        return self._further[0]

    @property
    def rpc_port(self) -> int:
        """The port of predictions over gRPC, where the server has one."""
        return self._further[1]

    def is_up(self) -> bool:
        """Whether it answers."""
        return call(self.port, "GET", "/ping", 2.0)[0] == 200

    def can_serve(self, handler: str) -> bool:
        """Whether this server's environment has what the handler needs."""
        return True

    def output(self) -> str:
        """The last lines that the server wrote."""
        return "\n".join((self.folder / "output.log").read_text(errors="replace").splitlines()[-20:])

    def launch(self) -> subprocess.Popen[bytes]:
        """Start the server's process, and return it; whether it answers is for others to see."""
        self.store.mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        self.port, self.management_port, *self._further = free_ports(5)
        command = self.command()
        temporary = str(self.folder / "tmp")
        environment = os.environ | {"TEMP": temporary, "TMPDIR": temporary} | self.environment()
        with (self.folder / "output.log").open("wb") as output:
            self._child = subprocess.Popen(
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self._child

    def start(self) -> float:
        """
        Start the server.

        :returns: seconds until ``/ping`` was answered.
        :raises TargetFailed: it ended, or did not answer in a minute.
        """
        begun = time.monotonic()
        child = self.launch()
        while time.monotonic() - begun < START_SECONDS:
            if self.is_up():
                return time.monotonic() - begun
            if child.poll() is not None:
                break
            time.sleep(0.01)
        text = self.output()
        self.stop()
        raise TargetFailed(f"{self.name} did not start:\n{text}")

    def stop(self) -> None:
        """End the server and whatever it started."""
        if self._child is not None:
            end(self._child)
            self._child = None

    def register(self, deployment: Deployment) -> float:
        """
        Pack and register a handler and wait for its workers.

        :returns: seconds that the call took.
        :raises TargetFailed: the server refused.
        """
        if deployment.extra:
            url = lay_out(deployment.handler, self.store, self.shape, deployment.extra).name
        else:
            url = pack(deployment.handler, self.store, self.shape).name
        parameters = {
            "url": url,
            "model_name": deployment.name,
            "initial_workers": str(deployment.workers),
            "batch_size": str(deployment.batch_size),
            "max_batch_delay": str(round(deployment.max_batch_delay * 1000)),
            "synchronous": "true",
            **dict(deployment.parameters),
        }
        return self._manage("POST", f"/models?{urlencode(parameters)}")

    def register_workflow(
        self, deployment: Deployment, nodes: Sequence[str], handlers: Sequence[str] = ()
    ) -> float:
        """
        Pack and register a chain of nodes, each with workers of its own.

        :param handlers: that of each node; empty: all run the deployment's.
        :returns: seconds that the call took.
        :raises TargetFailed: the server refused.
        """
        handlers = handlers or [deployment.handler] * len(nodes)
        urls = [pack(handler, self.store, self.shape).name for handler in handlers]
        settings = {
            "min-workers": deployment.workers,
            "max-workers": deployment.workers,
            "batch-size": deployment.batch_size,
            "max-batch-delay": round(deployment.max_batch_delay * 1000),
        }
        archives = dict(zip(nodes, urls, strict=True))
        url = pack_workflow(deployment.name, archives, settings, self.store).name
        return self._manage("POST", f"/workflows?{urlencode({'url': url})}")

    def unregister_workflow(self, name: str) -> float:
        """Remove a workflow; returns the seconds of the call."""
        return self._manage("DELETE", f"/workflows/{name}")

    def scale(self, name: str, workers: int) -> float:
        """Set the number of workers and wait for it; returns the seconds of the call."""
        query = urlencode({"min_worker": workers, "max_worker": workers, "synchronous": "true"})
        return self._manage("PUT", f"/models/{name}?{query}")

    def unregister(self, name: str) -> float:
        """Remove a model; returns the seconds of the call."""
        return self._manage("DELETE", f"/models/{name}")

    def worker_pids(self, name: str) -> list[int]:
        """Process ids of a model's workers: as the server tells them, else as its process tree shows them."""
        code, body = call(self.management_port, "GET", f"/models/{name}")
        if code == 200:
            described = json.loads(body)
            version = described[0] if isinstance(described, list) else described
            pids = [worker.get("pid", -1) for worker in version.get("workers", [])]
            if pids and all(pid > 0 for pid in pids):
                return pids
        return [process.pid for process in self.tree.leaves("worker")]

    def _manage(self, method: str, path: str) -> float:
        begun = time.monotonic()
        code, body = call(self.management_port, method, path)
        if code != 200:
            text = body.decode(errors="replace").strip()
            raise TargetFailed(f"{self.name}: {method} {path} answered {code}: {text}\n{self.output()}")
        return time.monotonic() - begun
