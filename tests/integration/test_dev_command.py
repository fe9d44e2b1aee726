"""``modelserver dev`` as a developer has it: files change, the next answer is the new handler's."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from modelserver.cli.client.http import Client
from modelserver.cli.local_server import HOST
from modelserver.cli.project.init import write_project
from tests.harness.folder import FolderCase

pytestmark = pytest.mark.slow

WAIT = 60.0
"""Seconds for each thing to happen; a bound, no measure."""


class Developer:
    """A ``modelserver dev`` on a terminal."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.terminal, theirs = pty.openpty()
        self.seen = ""
        # Whoever runs the tests in the background of a shell has the signal ignored, and so would this.
        interruptible = ["env", "--default-signal=INT"]
        words = [
            *interruptible,
            sys.executable,
            "-m",
            "modelserver.cli.main",
            "dev",
            ".",
            "--port",
            "0",
            *options,
        ]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TERM": "dumb"}
        self.process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)

    def sees(self, pattern: str) -> re.Match[str]:
        """Wait until something stands on the terminal that was not there before."""
        latest = time.monotonic() + WAIT
        while (found := re.search(pattern, self.seen)) is None:
            left = latest - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                raise AssertionError(f"{pattern!r} does not come; seen was:\n{self.seen}")
            self.seen += os.read(self.terminal, 65536).decode("utf-8", "replace")
        self.seen = self.seen[found.end() :]
        return found

    def types(self, text: str) -> None:
        """Type a line."""
        os.write(self.terminal, text.encode() + b"\n")

    def ends(self) -> int:
        """Stop it, and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(WAIT)
        finally:
            self.process.kill()
            os.close(self.terminal)
        return status


class DevelopmentTests(FolderCase):
    """Changes of files, and what a developer sees."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.folder / "words"
        write_project(self.folder)
        self.handler = self.folder / "handler.py"

    def change(self, old: str, new: str) -> None:
        """Edit the handler."""
        source = self.handler.read_text()
        self.assertIn(old, source)
        self.handler.write_text(source.replace(old, new))

    def begin(self, *options: str) -> tuple[Developer, Client]:
        """Start, and wait until there are predictions."""
        developer = Developer(self.folder, *options)
        self.addCleanup(developer.process.kill)
        developer.sees("loaded in")
        port = developer.sees(r"Predictions: http://[\d.]+:(\d+)/predictions/words")[1]
        developer.sees("Ctrl-C ends")
        return developer, Client(HOST, int(port), WAIT)

    def test_edits_errors_and_recovery(self) -> None:
        developer, client = self.begin("--no-browser")
        self.assertEqual(400, client.ask("POST", "/predictions/words", b"x").status)
        developer.sees(r"POST /predictions/\{model_name\} 400 .* ms: queue")
        self.change('{"error": ', '{"why": ')
        developer.sees("reloaded in")
        self.assertIn(b'"why"', client.ask("POST", "/predictions/words", b"x").body)
        self.change("return [self", "return [1 / 0 and self")
        developer.sees("reloaded in")
        self.assertEqual(503, client.ask("POST", "/predictions/words", b"x").status)
        developer.sees(r"│ +data = \[\{'body'")
        developer.sees("ZeroDivisionError")
        self.handler.write_text(self.handler.read_text() + "no such name\n")
        developer.sees("not reloaded: .*SyntaxError")
        self.handler.write_text("def handle(data, context):\n    return data and ['fine']\n")
        developer.sees("reloaded in")
        self.assertEqual(b"fine", client.ask("POST", "/predictions/words", b"x").body)
        self.assertEqual(0, developer.ends())

    def test_the_server_ends_with_a_developer_who_is_killed(self) -> None:
        developer, client = self.begin("--no-browser")
        below = psutil.Process(developer.process.pid).children(recursive=True)
        self.assertGreaterEqual(len(below), 2, "a server, and a worker")
        developer.process.kill()
        developer.process.wait(WAIT)
        _, alive = psutil.wait_procs(below, WAIT)
        self.assertEqual([], alive)
        with self.assertRaises(OSError):
            client.ask("GET", "/ping")
        os.close(developer.terminal)

    def test_a_debugger_has_the_terminal(self) -> None:
        self.change("        body = row", "        breakpoint()\n        body = row")
        developer, client = self.begin("--no-browser", "--in-process")
        ask = ThreadPoolExecutor(1)
        self.addCleanup(ask.shutdown, wait=False)
        asked = ask.submit(client.ask, "POST", "/predictions/words", b"x")
        developer.sees(r"\(Pdb\)")
        developer.types("p 40 + 2, index")
        developer.sees(r"\(42, 0\)")
        developer.types("continue")
        self.assertEqual(400, asked.result(WAIT).status)
        self.assertEqual(0, developer.ends())
