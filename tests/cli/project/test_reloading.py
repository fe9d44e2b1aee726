"""What a server is asked when files change."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from modelserver.cli.client.http import ServerReply
from modelserver.cli.project.reloading import Reloader


class FakeManagement:
    """Answers as told, and keeps what it was asked, without what never changes."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.refuses: dict[str, ServerReply] = {}

    def ask(self, method: str, path: str, body: bytes) -> ServerReply:
        """Answer a request."""
        _, _, query = path.partition("?")
        workers = next((part for part in query.split("&") if part.startswith("min_worker")), "")
        self.asked.append(" ".join(word for word in (method, workers) if word))
        return self.refuses.get(self.asked[-1], ServerReply(200, b"{}"))


class ReloaderTests(SynchronousTestCase):
    """Registration and reloads."""

    def setUp(self) -> None:
        self.server = FakeManagement()
        self.prepared = 0
        self.reloader = Reloader(self.server.ask, "my words", "words", self.prepare)

    def prepare(self) -> None:
        self.prepared += 1

    def test_start_registers_without_workers_first(self) -> None:
        self.assertIsNone(self.reloader.start())
        self.assertEqual(["POST", "PUT min_worker=1"], self.server.asked)

    def test_a_change_of_code_costs_a_worker_and_no_registration(self) -> None:
        self.reloader.start()
        self.server.asked.clear()
        self.assertIsNone(self.reloader.reload(["/home/words/handler.py"]))
        self.assertEqual(["PUT min_worker=0", "PUT min_worker=1"], self.server.asked)
        self.assertEqual(2, self.prepared)

    def test_a_change_of_settings_registers_anew(self) -> None:
        self.reloader.start()
        self.server.asked.clear()
        self.assertIsNone(self.reloader.reload(["/home/words/model-config.yaml"]))
        self.assertEqual(["DELETE", "POST", "PUT min_worker=1"], self.server.asked)

    def test_a_handler_that_cannot_be_loaded_is_not_tried_again_until_it_changes(self) -> None:
        body = json.dumps({"message": "Failed to start workers", "reason": "SyntaxError: line 6"}).encode()
        self.server.refuses["PUT min_worker=1"] = ServerReply(500, body)
        self.assertEqual("SyntaxError: line 6", self.reloader.start())
        self.assertEqual(["POST", "PUT min_worker=1", "PUT min_worker=0"], self.server.asked)
        self.server.refuses.clear()
        self.assertIsNone(self.reloader.reload(["handler.py"]))

    def test_a_registration_that_is_refused_is_tried_at_the_next_change(self) -> None:
        self.server.refuses["POST"] = ServerReply(400, b'{"message": "model-config.yaml line 3"}')
        self.assertEqual("model-config.yaml line 3", self.reloader.start())
        self.assertEqual(["POST"], self.server.asked)
        self.server.refuses.clear()
        self.assertIsNone(self.reloader.reload(["anything.txt"]))
        self.assertEqual(["POST", "POST", "PUT min_worker=1"], self.server.asked)
