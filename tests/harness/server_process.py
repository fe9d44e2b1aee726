"""
A real server for tests: its own process on free ports, in a folder of its own, every wait bounded.

``ServerTests`` is the base of tests that need one: whatever they start is ended, and nothing may be left.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from unittest import TestCase

import psutil
from attrs import define, field, frozen

import modelserver
from modelserver.archive.pack import PackRequest, pack

HOST = "127.0.0.1"
LONGEST = 60.0
"""Seconds after which a wait has failed: far more than anything here takes on a busy machine."""
PAUSE = 0.02
"""Seconds between two looks at what cannot report by itself."""
TWISTD = "from twisted.scripts.twistd import run; run()"
ROOT = str(Path(modelserver.__file__).parent.parent)
"""What a process needs in its PYTHONPATH to import the server."""
_Seen = TypeVar("_Seen")


@frozen
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def eventually(look: Callable[[], _Seen], seconds: float = LONGEST) -> _Seen:
    """
    What ``look`` returns, as soon as that is true.

    :raises AssertionError: it never was.
    """
    latest = time.monotonic() + seconds
    wait = threading.Event().wait
    while not (seen := look()):
        if time.monotonic() > latest:
            raise AssertionError(f"still {seen!r} after {seconds:g} seconds")
        wait(PAUSE)
    return seen


def free_ports(count: int) -> list[int]:
    """Ports that nobody has now."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [bound.getsockname()[1] for bound in sockets]
    finally:
        for bound in sockets:
            bound.close()


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@define(eq=False)
class ServerProcess:
    """
    One server, started by twistd.

    :param folder: where it runs; has its store, its logs and its temporary files.
    :param properties: of its configuration, beside the addresses.
    :param options: of ``twistd -n modelserver``, beside the store and the configuration.
    :param reactor: the name of a Twisted reactor, or None for the plugin's own choice.
    :param program: how Python is told to be twistd.
    :param is_shared: one port for everything that is HTTP.
    :param has_rpc: gRPC is served, too, on two more ports.
    :param patience: seconds that an answer of the management API may take.
    """

    folder: Path
    properties: Mapping[str, str] = field(factory=dict)
    options: Sequence[str] = ()
    reactor: str | None = None
    environment: Mapping[str, str] = field(factory=dict)
    program: Sequence[str] = ("-c", TWISTD)
    is_shared: bool = False
    has_rpc: bool = False
    patience: float = LONGEST
    lines: list[str] = field(factory=list, init=False)
    ports: list[int] = field(factory=list, init=False)
    rpc_ports: list[int] = field(factory=list, init=False)
    process: subprocess.Popen[str] = field(init=False)
    _reader: threading.Thread = field(init=False)
    _has_spoken: threading.Event = field(factory=threading.Event, init=False)
    _is_serving: bool = field(default=False, init=False)

    @property
    def store(self) -> Path:
        """The model store."""
        return self.folder / "store"

    @property
    def temporary(self) -> Path:
        """The folder for temporary files of the server and its workers."""
        return self.folder / "tmp"

    @property
    def log(self) -> str:
        """What was logged so far."""
        return "".join(self.lines)

    def add_model(self, name: str, source: str, config: str = "", **more: Any) -> Path:
        """
        Pack a handler's source into the store, which has to be there.

        :param config: the text of its ``model-config.yaml``, or empty.
        :param more: as ``PackRequest`` has it.
        """
        handler = self.folder / f"{re.sub('[^a-z0-9]', '_', name.lower())}_handler.py"
        handler.write_text(source)
        wanted = {"version": "1.0", "handler": str(handler), "export_path": self.store, "force": True}
        if config:
            settings = handler.with_suffix(".yaml")
            settings.write_text(config)
            wanted["config_file"] = str(settings)
        return pack(PackRequest(name, **{**wanted, **more}))

    def start(self) -> None:
        """
        Return when it serves.

        :raises AssertionError: it did not start.
        """
        for path in (self.store, self.temporary):
            path.mkdir(exist_ok=True)
        for _ in range(3):  # another process may be faster to take a port
            self._spawn()
            self._has_spoken.wait(LONGEST)
            if self._is_serving:
                return
            self.end()
            if "Address already in use" not in self.log:
                break
        raise AssertionError(f"the server did not start:\n{self.log}")

    def _spawn(self) -> None:
        *http, inference, management = free_ports(5)
        self.ports = http[:1] * 3 if self.is_shared else http
        self.rpc_ports = [inference, management] if self.has_rpc else [-1, -1]
        self._has_spoken.clear()
        names = ("inference", "management", "metrics")
        settings = {
            f"{name}_address": f"http://{HOST}:{port}" for name, port in zip(names, self.ports, strict=True)
        }
        for name, port in zip(names[:2], self.rpc_ports, strict=True):
            settings[f"grpc_{name}_port"] = str(port)
        settings.update(self.properties)
        config = self.folder / "config.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        reactor = [] if self.reactor is None else [f"--reactor={self.reactor}"]
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("TS_", "MMS_"))}
        twistd = [sys.executable, *self.program, "-n", "--pidfile=", *reactor]
        files = ["--model-store", str(self.store), "--ts-config", str(config)]
        self.process = subprocess.Popen(
            [*twistd, "modelserver", *files, "--ncs", *self.options],
            cwd=self.folder,
            env={**inherited, "TMPDIR": str(self.temporary), "PYTHONPATH": ROOT, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None, "it is a pipe"
        for line in process.stdout:
            self.lines.append(line)
            if "Model server started." in line:
                self._is_serving = True
                self._has_spoken.set()
        self._has_spoken.set()

    def terminate(self) -> int:
        """Ask it to end, and wait; returns the exit code."""
        self.process.terminate()
        code = self.process.wait(LONGEST)
        self._reader.join(LONGEST)
        return code

    def kill(self) -> None:
        """End it as the out-of-memory killer would."""
        self.process.kill()
        self.process.wait(LONGEST)

    def end(self) -> None:
        """End it in whatever state it is."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(LONGEST)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(LONGEST)
        self._reader.join(LONGEST)
        assert self.process.stdout is not None, "it is a pipe"
        if not self._reader.is_alive():  # else it waits for somebody who has the pipe, and a close would, too
            self.process.stdout.close()

    # Requests.

    def inference(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask the inference API on a connection of its own."""
        return ask(self.ports[0], method, path, body, headers)

    def management(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask the management API on a connection of its own."""
        return ask(self.ports[1], method, path, body, headers, self.patience)

    def predict(self, name: str, body: bytes = b"") -> Answer:
        """Ask a model."""
        return self.inference("POST", f"/predictions/{name}", body)

    def predict_together(self, name: str, bodies: Sequence[bytes]) -> list[Answer]:
        """Ask a model with several requests at the same time; the answers in the order of the bodies."""
        answers: list[Answer | None] = [None] * len(bodies)

        def one(place: int, body: bytes) -> None:
            answers[place] = self.predict(name, body)

        threads = [threading.Thread(target=one, args=pair) for pair in enumerate(bodies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONGEST)
        return [answer for answer in answers if answer is not None]

    def register(self, archive: str, **parameters: object) -> Answer:
        """Register an archive of the store and wait for its workers (one, unless told otherwise)."""
        wanted = {"url": archive, "initial_workers": 1, "synchronous": "true", **parameters}
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        return self.management("POST", f"/models?{query}")

    def scale(self, name: str, workers: int) -> Answer:
        """Have so many workers, and wait for them."""
        return self.management(
            "PUT", f"/models/{name}?min_worker={workers}&max_worker={workers}&synchronous=true"
        )

    def workers(self, name: str) -> list[dict[str, Any]]:
        """The workers of a model's default version as described."""
        return list(self.management("GET", f"/models/{name}").json()[0]["workers"])

    def pids(self, name: str) -> list[int]:
        """The processes of a model's workers that run."""
        return [worker["pid"] for worker in self.workers(name) if worker.get("pid")]

    def ready(self, name: str) -> int:
        """How many workers of a model are ready."""
        return sum(worker["status"] == "READY" for worker in self.workers(name))

    def keys(self) -> dict[str, dict[str, str]]:
        """The keys of tokens, by their kinds."""
        read: dict[str, dict[str, str]] = json.loads((self.folder / "key_file.json").read_text("ascii"))
        return read

    def scrape(self) -> str:
        """The text of the metrics' endpoint."""
        return ask(self.ports[2], "GET", "/metrics").text

    def children(self) -> list[int]:
        """Every process below the server."""
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [child.pid for child in found if is_alive(child.pid)]


def ask(
    port: int,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = LONGEST,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(HOST, port, timeout=seconds)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
        )
    finally:
        connection.close()


class ServerTests(TestCase):
    """Tests that start servers; each server ends with its test, and takes everything with it."""

    maxDiff = None

    def start(
        self,
        properties: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
        reactor: str | None = None,
        environment: Mapping[str, str] | None = None,
        models: Mapping[str, str] | None = None,
        has_rpc: bool = False,
    ) -> ServerProcess:
        """
        Start a server.

        :param models: source texts of handlers by model name, packed into its store.
        :param has_rpc: gRPC is served, too.
        """
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        server = ServerProcess(
            Path(folder.name),
            dict(properties or {}),
            options,
            reactor,
            dict(environment or {}),
            has_rpc=has_rpc,
        )
        server.store.mkdir()
        for name, source in (models or {}).items():
            self.add_model(server, name, source)
        server.start()
        self.addCleanup(server.end)
        return server

    def add_model(self, server: ServerProcess, name: str, source: str, **more: Any) -> Path:
        """Pack a handler's source into the server's store; ``more`` as ``PackRequest`` has it."""
        return server.add_model(name, source, **more)

    def kill_worker(self, pid: int) -> None:
        """End a worker without a warning."""
        os.kill(pid, signal.SIGKILL)

    def assert_ok(self, answer: Answer) -> None:
        """Fail with what the server said, unless it agreed."""
        self.assertEqual(200, answer.status, answer.text)
