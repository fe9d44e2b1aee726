"""The commands that ask a running server, over a server in memory."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from unittest import TestCase

from attrs import define, field

from modelserver.cli.client.commands import run_on
from modelserver.cli.client.connection import Remote, remote_of
from modelserver.cli.main import build_parser
from modelserver.config.address import Address


@define
class FakeServer:
    """Answers by method and path, and remembers what it was asked."""

    answers: dict[tuple[str, str], tuple[int, object]] = field(factory=dict)
    asked: list[tuple[str, str, int, bytes | None, Mapping[str, str]]] = field(factory=list)
    is_there: bool = True

    def connect(self, address: Address, seconds: float, tls: object) -> HTTPConnection:
        return cast(HTTPConnection, FakeConnection(self, address))


@define
class FakeConnection:
    """A connection to it."""

    server: FakeServer
    address: Address
    status: int = 0
    body: bytes = b""

    def request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> None:
        if not self.server.is_there:
            raise ConnectionRefusedError(111, "Connection refused")
        self.server.asked.append((method, path, self.address.port, body, headers))
        default = (404, {"code": 404, "type": "X", "message": f"no {path}"})
        self.status, value = self.server.answers.get((method, path), default)
        self.body = value if isinstance(value, bytes) else json.dumps(value).encode()

    def getresponse(self) -> FakeConnection:
        return self

    def read(self) -> bytes:
        return self.body

    def close(self) -> None:
        pass


class ControlCase(TestCase):
    """A command, a server in memory, and what is printed."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        before = Path.cwd()
        os.chdir(self.folder)
        self.addCleanup(os.chdir, before)
        # Rich reads the width of the terminal there.
        self.addCleanup(os.environ.pop, "COLUMNS", None)
        os.environ["COLUMNS"] = "200"
        self.server = FakeServer()
        self.parser = build_parser()

    def answer(self, method: str, path: str, value: object, status: int = 200) -> None:
        self.server.answers[method, path] = (status, value)

    def run_words(self, *words: str) -> tuple[int, str, str]:
        """The exit status, standard output and standard error."""
        arguments = self.parser.parse_args(words)
        raw = io.BytesIO()
        output, errors = io.TextIOWrapper(raw, "utf-8", write_through=True), io.StringIO()
        status = run_on(arguments, self.find, output, errors)
        return status, raw.getvalue().decode(), errors.getvalue()

    def find(self, arguments: Any) -> Remote:
        remote = remote_of(arguments)
        return Remote(
            remote.inference,
            remote.management,
            remote.secrets,
            remote.seconds,
            remote.tls,
            self.server.connect,
        )

    @property
    def urls(self) -> list[str]:
        return [f"{method} {path}" for method, path, *_ in self.server.asked]
