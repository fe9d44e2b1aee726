"""Workers of one version have nothing in common but their files: forked ones as little as spawned ones."""

from __future__ import annotations

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.harness.server_process import ServerProcess, ServerTests, eventually

pytestmark = pytest.mark.slow

STATE = (Path(__file__).parent / "handlers" / "module_state.py").read_text()
WORKERS = 3
USES = """
import os
import {name}

class Model:
    def initialize(self, context):
        pass

    def handle(self, data, context):
        return [str(os.getppid())] * len(data)
"""
LIBRARIES = {
    "open_file": ("HELD = open(__file__)", r"files are open \(.*open_file.py\)"),
    "open_log": ("import tempfile; HELD = open(tempfile.mkstemp()[1], 'a')", r"files are open \(.*\)"),
    "own_socket": ("import socket; HELD = socket.socket()", "sockets are open"),
    "own_pipe": ("import os; HELD = os.pipe()", r"descriptors are open \(pipe:.*\)"),
    "own_thread": (
        "from threading import *; Thread(target=Event().wait, daemon=True, name='waits').start()",
        r"threads are alive \(waits\)",
    ),
    "own_memory": ("import mmap; HELD = mmap.mmap(-1, 8)", "memory is shared with future processes"),
    "own_process": (
        "import subprocess; HELD = subprocess.Popen(['cat'], stdin=-1); HELD.stdin = None",
        "processes were started",
    ),
    "half_way": ("import no_such_module_anywhere", "the import of half_way fails: No module named .*"),
}
"""Libraries by name: what each does at its import, and why it cannot be forked."""


class ModuleStateTests(ServerTests):
    """What the modules of a handler hold."""

    def all_told(self, server: ServerProcess, name: str) -> list[dict[str, Any]]:
        """What each of the workers says."""
        seen: dict[int, dict[str, Any]] = {}

        def ask_all() -> bool:
            for answer in server.predict_together(name, [b""] * WORKERS):
                self.assert_ok(answer)
                said = answer.json()
                seen.setdefault(said["pid"], said)
            return len(seen) == WORKERS

        eventually(ask_all)
        return list(seen.values())

    def assert_as_if_spawned(self, dialect: str) -> None:
        """Register one archive twice, and compare the workers among each other and with the other ones."""
        server = self.start({"dialect": dialect}, models={"state": STATE})
        told = {}
        for start in ("spawn", "template"):
            self.assert_ok(
                server.register("state.mar", model_name=start, worker_start=start, initial_workers=WORKERS)
            )
            told[start] = self.all_told(server, start)
        self.assertNotIn("cannot be forked", server.log)
        everyone = [*told["spawn"], *told["template"]]
        for name in everyone[0]["drawn"]:
            drawn = {str(one["drawn"][name]) for one in everyone}
            self.assertEqual(2 * WORKERS, len(drawn), f"{name}: {drawn}")
        for name, expected in everyone[0]["own"].items():
            for one in everyone:
                self.assertEqual(expected, one["own"][name], name)

    def test_torchserves_dialect(self) -> None:
        self.assert_as_if_spawned("torchserve")

    def test_mmss_dialect(self) -> None:
        self.assert_as_if_spawned("mms")


class UnforkableTests(ServerTests):
    """What cannot be forked is not, and the log says why in one line."""

    def test_libraries_that_hold_something_lead_to_spawned_workers(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        libraries = Path(folder.name)
        for name, (source, _) in LIBRARIES.items():
            (libraries / f"{name}.py").write_text(source)
        server = self.start(
            models={name: USES.format(name=name) for name in LIBRARIES},
            environment={"PYTHONPATH": str(libraries)},
        )
        for name, (_, reason) in LIBRARIES.items():
            with self.subTest(name):
                answer = server.register(f"{name}.mar")
                self.assertEqual(500 if name == "half_way" else 200, answer.status, answer.text)
                (line,) = re.findall(f"Model {name} .* cannot be forked with (.*)", server.log)
                self.assertRegex(line, f"^preload=libraries: {reason}; its workers start with spawn$")
                if answer.status == 200:
                    self.assertEqual(str(server.process.pid), server.predict(name).text)

    def test_files_that_are_open_for_reading_refuse_imports_and_model(self) -> None:
        server = self.start(models={"held": f"{USES.format(name='json')}\nHELD = open(__file__)\n"})
        for preload in ("imports", "model"):
            with self.subTest(preload):
                self.assert_ok(server.register("held.mar", model_name=preload, preload=preload))
                (line,) = re.findall(f"Model {preload} .* cannot be forked with (.*)", server.log)
                self.assertRegex(
                    line,
                    rf"^preload={preload}: files are open \(.*held_handler.py\); "
                    "its workers start with preload=libraries$",
                )
                self.assertNotEqual(str(server.process.pid), server.predict(preload).text)
