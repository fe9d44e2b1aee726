"""Models that come with their first requests, with real workers and archives."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.harness.server_process import Answer, ServerProcess, ServerTests, eventually

HANDLER = """
import os
import time


def handle(data, context):
    if data is None:
        gate = {gate!r}
        with open(gate + ".pids", "a") as file:
            file.write(str(os.getpid()) + "\\n")
        while os.path.exists(gate):
            time.sleep(0.01)
        return None
    return ["{name}"] * len(data)
"""
SETTINGS = {
    "load": "on_request",
    "load_models": "all",
    "enable_model_api": "true",
    "disable_token_authorization": "true",
}


class OnRequestTests(ServerTests):
    """Archives of a store that are known, and loaded when they are asked for."""

    def start_with(self, *names: str, **settings: str) -> ServerProcess:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        self.gates = Path(folder.name)
        models = {name: HANDLER.format(name=name, gate=str(self.gates / name)) for name in names}
        return self.start({**SETTINGS, **settings}, models=models)

    def states(self, on: ServerProcess) -> dict[str, str]:
        models: list[dict[str, Any]] = on.management("GET", "/models").json()["models"]
        return {model["modelName"]: model["loadState"] for model in models}

    def pids(self, name: str) -> list[int]:
        path = self.gates / f"{name}.pids"
        return [int(line) for line in path.read_text().split()] if path.exists() else []

    def test_requests_wait_for_one_load_also_when_its_worker_is_killed(self) -> None:
        on = self.start_with("one", "two")
        self.assertEqual(self.states(on), {"one": "known", "two": "known"})
        self.assertEqual((on.inference("GET", "/ping").status, on.children()), (200, []))
        gate = self.gates / "one"
        gate.touch()
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.extend(on.predict_together("one", [b"x"] * 8)))
        asking.start()
        (first,) = eventually(lambda: self.pids("one"))
        self.assertEqual(self.states(on)["one"], "loading")
        self.kill_worker(first)
        eventually(lambda: len(self.pids("one")) == 2)
        gate.unlink()
        asking.join(60)
        self.assertEqual([(answer.status, answer.body) for answer in answers], [(200, b"one")] * 8)
        self.assertEqual(self.states(on), {"one": "loaded", "two": "known"})
        self.assertEqual(len(self.pids("one")), 2)

    def test_two_servers_on_one_store_do_not_disturb_each_other(self) -> None:
        first = self.start_with("one")
        second = self.start(SETTINGS, options=("--model-store", str(first.store)))
        self.assertEqual(second.predict("one").body, b"one")
        first.kill()
        self.assertEqual(second.scale("one", 0).status, 200)
        self.assertEqual(self.states(second), {"one": "unloaded"})
        self.assertEqual(second.predict("one").body, b"one")
        self.assertEqual(sorted(os.listdir(first.store)), ["one.mar"])
