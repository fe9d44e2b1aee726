"""A real server that decides how many workers a model has: from zero, and what goes wrong meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from tests.harness.server_process import Answer, ServerProcess, ServerTests, eventually

SLOW_LOAD = """
import time

class Model:
    def initialize(self, context):
        time.sleep(1.5)

    def handle(self, data, context):
        time.sleep(0.01)
        return ["served"] * len(data)
"""


class AutoscaleTests(ServerTests):
    """A model that loads for a second and a half, and has no worker while nobody asks."""

    def begin(self) -> ServerProcess:
        """Start a server with the model; its last worker goes after a second."""
        server = self.start(models={"slow": SLOW_LOAD})
        self.assert_ok(
            server.register("slow.mar", autoscale="true", min_worker=0, max_worker=2, idle_timeout=1)
        )
        return server

    def ask(self, server: ServerProcess) -> list[Answer]:
        """Ask in another thread; the answer comes to be in the list."""
        answers: list[Answer] = []
        thread = threading.Thread(target=lambda: answers.append(server.predict("slow")))
        thread.start()
        self.addCleanup(thread.join)
        return answers

    def describe(self, server: ServerProcess) -> dict[str, Any]:
        """Return the model's description."""
        described: dict[str, Any] = server.management("GET", "/models/slow").json()[0]
        return described

    def test_down_to_zero_and_back(self) -> None:
        server = self.begin()
        self.assertEqual(200, server.inference("GET", "/ping").status)
        self.assertEqual(200, server.inference("GET", "/health/ready").status)
        for _ in range(2):
            self.assertEqual([], server.workers("slow"))
            self.assertEqual("served", server.predict("slow").text)
            self.assertEqual("wake", self.describe(server)["lastDecision"]["reason"])
            eventually(lambda: not server.workers("slow"))
            self.assertEqual("idle", self.describe(server)["lastDecision"]["reason"])
            self.assertEqual("READY", self.describe(server)["template"]["status"])
        self.assertIn("modelserver_cold_start_seconds_count", server.scrape())

    def test_a_worker_that_is_killed_while_it_starts_costs_time_only(self) -> None:
        server = self.begin()
        answers = self.ask(server)
        pid = eventually(lambda: next((pid for pid in server.pids("slow") if pid > 0), 0))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: answers)
        self.assertEqual("served", answers[0].text)
        self.assertEqual(1, len(server.workers("slow")))

    def test_a_model_that_goes_while_it_wakes_answers_who_waits(self) -> None:
        server = self.begin()
        answers = self.ask(server)
        eventually(lambda: server.workers("slow"))
        self.assert_ok(server.management("DELETE", "/models/slow"))
        eventually(lambda: answers)
        self.assertEqual(503, answers[0].status)
        eventually(lambda: not server.children())
