"""A folder with a model store and the peers' commands, as an operator has them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase

import psutil
from attrs import define, field

import modelserver
from modelserver.archive.pack import PackRequest, pack
from modelserver.system.pid_file import PidFile
from tests.harness.server_process import HOST, LONGEST, Answer, ask, eventually, free_ports

ROOT = str(Path(modelserver.__file__).parent.parent)
SCRIPT = "import sys\nfrom modelserver.cli.{module} import {function}\nsys.exit({function}())\n"
COMMANDS = {
    "torchserve": ("launchers.torchserve", "main"),
    "multi-model-server": ("launchers.multi_model_server", "main"),
    "mxnet-model-server": ("launchers.multi_model_server", "main_by_old_name"),
    "modelserver": ("main", "main"),
}
ECHO = """\
import logging
def handle(data, context):
    logging.getLogger("mine").info("answering %d", len(data or []))
    return [bytes(row.get("body") or row.get("data")) for row in data or []]
"""


@define(eq=False)
class Installation:
    """A folder with a model store, a configuration for free ports, and the commands."""

    folder: Path
    environment: dict[str, str] = field(factory=dict)
    ports: list[int] = field(factory=lambda: free_ports(5))
    _runs: Iterator[int] = field(factory=count)

    def __attrs_post_init__(self) -> None:
        for name in ("tmp", "bin", "model_store"):
            (self.folder / name).mkdir()
        for name, (module, function) in COMMANDS.items():
            text = SCRIPT.format(module=module, function=function)
            (self.folder / "bin" / name).write_text(text, "ascii")
        names = ("inference", "management", "metrics")
        addresses = [
            f"{name}_address=http://{HOST}:{port}\n" for name, port in zip(names, self.ports[:3], strict=True)
        ]
        rpc = [f"grpc_{name}_port={port}\n" for name, port in zip(names[:2], self.ports[3:], strict=True)]
        self.configure("".join([*addresses, *rpc, "default_workers_per_model=1\n"]))

    def configure(self, text: str) -> None:
        """Add to the configuration."""
        with (self.folder / "config.properties").open("a", encoding="ascii") as file:
            file.write(text)

    def add_model(self, name: str, version: str = "1.0") -> None:
        """Pack an archive into the store."""
        handler = self.folder / f"{name}_handler.py"
        handler.write_text(ECHO, "ascii")
        request = PackRequest(name, version=version, handler=str(handler), export_path=self.store)
        pack(request)

    @property
    def store(self) -> Path:
        return self.folder / "model_store"

    @property
    def pid_file(self) -> PidFile:
        return PidFile(self.folder / "tmp" / ".model_server.pid")

    def run(self, command: str, *words: str) -> tuple[int, str]:
        """Run a command to its end; the exit status, and what it and the server have written so far."""
        program = [command] if os.sep in command else [sys.executable, str(self.folder / "bin" / command)]
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("TS_", "MMS_", "TEMP", "TMP", "LOG_", "METRICS_"))
        }
        said = self.folder / f"said-{next(self._runs)}"
        with said.open("w") as output:  # not a pipe: the server inherits it
            ran = subprocess.run(
                [*program, *words],
                cwd=self.folder,
                env={
                    **inherited,
                    "TMPDIR": str(self.folder / "tmp"),
                    "TEMP": str(self.folder / "tmp"),
                    "PYTHONPATH": ROOT,
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LONGEST,
                check=False,
            )
        return ran.returncode, said.read_text(errors="replace")

    def ask(self, port: int, method: str, path: str, body: bytes | None = None, key: str = "") -> Answer:
        """One request, with a key if one is named; status 0 if nobody listens."""
        headers = {"Authorization": f"Bearer {self.keys()[key]['key']}"} if key else {}
        try:
            return ask(self.ports[port], method, path, body, headers)
        except OSError:
            return Answer(0, {}, b"")

    def keys(self) -> dict[str, dict[str, str]]:
        """What the key file has."""
        read: dict[str, dict[str, str]] = json.loads((self.folder / "key_file.json").read_text("ascii"))
        return read

    def snapshots(self) -> list[str]:
        """The occasions of the snapshots, in order."""
        names = sorted(path.name for path in (self.folder / "logs" / "config").glob("*.cfg"))
        return [name.rpartition("-")[2].removesuffix(".cfg") for name in names]


class InstallationTests(TestCase):
    """A new installation for each test; no server is left."""

    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        self.on = Installation(Path(folder.name).resolve())
        self.addCleanup(self.stop_all)

    def stop_all(self) -> None:
        pid = self.on.pid_file.read()
        if pid and psutil.pid_exists(pid):
            psutil.Process(pid).terminate()
            psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], LONGEST)

    def ran(self, *words: str, status: int = 0) -> str:
        got, said = self.on.run(*words)
        self.assertEqual(got, status, said)
        return said

    def command_line(self) -> list[str]:
        """The words of the server's process."""
        pid = self.on.pid_file.read()
        assert pid, "it was started in the background"
        return psutil.Process(pid).cmdline()

    def until_ready(self) -> None:
        eventually(lambda: self.on.ask(0, "GET", "/health/ready").status == 200)

    def assert_logged(self, name: str, line: str) -> None:
        """Lines wait for a moment before they are written."""
        file = self.on.folder / "logs" / name
        eventually(lambda: re.search(line, file.read_text("utf-8"), re.MULTILINE))

    def assert_answer(self, status: int, *asked: Any, **more: Any) -> Answer:
        got = self.on.ask(*asked, **more)
        self.assertEqual(got.status, status, got.body)
        return got
