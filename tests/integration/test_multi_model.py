"""
The contract that SageMaker has with containers of many models, in both dialects, with real workers.

https://docs.aws.amazon.com/sagemaker/latest/dg/mms-container-apis.html
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.harness.server_process import ServerProcess, ServerTests, ask

HOARD = """
class Hoard:
    def initialize(self, context):
        self.weights = bytearray(b"x") * (80 << 20)

    def handle(self, data, context):
        return ["%s"] * len(data)


model = Hoard()


def handle(data, context):
    if data is None:
        return model.initialize(context)
    return model.handle(data, context)
"""
LIMIT = 240 << 20
"""Two models fit, beside the guess for a third one they do not."""
SETTINGS = {
    "enable_model_api": "true",
    "disable_token_authorization": "true",
    "default_workers_per_model": "1",
    "model_memory_limit": str(LIMIT),
    "pinned": "true",  # who leaves is the caller's to say
}


class MultiModelTests(ServerTests):
    """One port for everything; the caller lets models leave."""

    def call(self, on: ServerProcess, method: str, path: str, body: object = None) -> tuple[int, Any]:
        raw = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"content-type": "application/json"}
        answer = ask(on.ports[0], method, path, raw, headers)
        try:
            return answer.status, answer.json()
        except ValueError:
            return answer.status, answer.text

    def contract(self, dialect: str) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        on = ServerProcess(Path(folder.name), SETTINGS, ("--dialect", dialect), is_shared=True)
        on.store.mkdir()
        for name in ("one", "two", "three"):
            on.add_model(name, HOARD % name)
        on.start()
        self.addCleanup(on.end)

        def load(name: str) -> tuple[int, Any]:
            return self.call(on, "POST", "/models", {"model_name": name, "url": f"{on.store}/{name}.mar"})

        self.assertEqual([load(name)[0] for name in ("one", "one", "two")], [200, 409, 200])
        status, refusal = load("three")
        self.assertEqual((status, refusal["code"], refusal["limitValue"]), (507, 507, LIMIT))
        for method, path, expected in (
            ("GET", "/models/one", 200),
            ("GET", "/models/three", 404),
            ("POST", "/models/two/invoke", 200),
            ("POST", "/models/three/invoke", 404),
            ("GET", "/ping", 200),
        ):
            self.assertEqual(self.call(on, method, path, {} if method == "POST" else None)[0], expected, path)
        first = self.call(on, "GET", "/models?limit=1")[1]
        second = self.call(on, "GET", f"/models?limit=1&next_page_token={first['nextPageToken']}")[1]
        names = [model["modelName"] for page in (first, second) for model in page["models"]]
        self.assertEqual((names, "nextPageToken" in second), (["one", "two"], False))
        self.assertEqual([self.call(on, "DELETE", "/models/one")[0] for _ in range(2)], [200, 404])
        self.assertEqual(load("three")[0], 200)
        self.assertEqual(self.call(on, "POST", "/models/three/invoke", {}), (200, "three"))

    def test_torchserve(self) -> None:
        self.contract("torchserve")

    def test_mms(self) -> None:
        self.contract("mms")
