"""Torch's threads under a template: workers have those of spawned ones, and none waits for lost ones."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.harness.server_process import ServerProcess, ServerTests

pytestmark = pytest.mark.slow

PRODUCTS = """
import json
import os
import torch

SIZE = 1500

class Model:
    def initialize(self, context):
        generator = torch.Generator().manual_seed(7)
        self.weight = torch.randn(SIZE, SIZE, generator=generator)
        self.by = os.getpid()
        # {start}

    def handle(self, data, context):
        inputs = torch.arange(8.0 * SIZE).sin().reshape(8, SIZE)
        with torch.inference_mode():
            outcome = (inputs @ self.weight @ self.weight.T).softmax(-1).double().sum(0)
        return [json.dumps({
            "pid": os.getpid(),
            "initialized": self.by,
            "threads": torch.get_num_threads(),
            "outcome": [float(part).hex() for part in outcome[:50]],
        })] * len(data)
"""
PARALLEL_REGION = "torch.set_num_threads(2); self.weight @ self.weight"
POOL = "torch._C.set_num_threads(2); self.weight @ self.weight"
ONE_THREAD = "torch.set_num_threads(1)"
LATE = PRODUCTS.replace("import torch", "").replace("generator =", "global torch; import torch; generator =")
WORKERS = 3


class TemplateThreadsTests(ServerTests):
    """The same handler, spawned and forked."""

    def serve(self, source: str) -> ServerProcess:
        """A server with the handler's workers, once spawned and once from a template with the model."""
        server = self.start(models={"products": source})
        self.assert_ok(server.register("products.mar", model_name="spawned", worker_start="spawn"))
        wishes = {"worker_start": "template", "preload": "model", "initial_workers": WORKERS}
        self.assert_ok(server.register("products.mar", model_name="forked", response_timeout=30, **wishes))
        return server

    def assert_equal_answers(self, server: ServerProcess) -> list[dict[str, Any]]:
        """What the forked workers said, which is what the spawned one says."""
        answers = server.predict_together("forked", [b""] * (WORKERS * 8))
        self.assertEqual({200}, {answer.status for answer in answers}, answers[0].text)
        said = [answer.json() for answer in answers]
        spawned = server.predict("spawned").json()
        for one in said:
            self.assertEqual(spawned["threads"], one["threads"])
            self.assertEqual(spawned["outcome"], one["outcome"])
        return said

    def test_parallel_region_of_initialize_leaves_no_pool_and_workers_have_their_threads(self) -> None:
        server = self.serve(PRODUCTS.replace("# {start}", PARALLEL_REGION))
        said = self.assert_equal_answers(server)
        self.assertEqual({2}, {one["threads"] for one in said})
        (template,) = {one["initialized"] for one in said}
        self.assertNotIn(template, server.pids("forked"))
        self.assertNotIn("cannot be forked", server.log)

    def test_pool_of_threads_in_the_template_is_seen_and_each_worker_initializes_itself(self) -> None:
        server = self.serve(PRODUCTS.replace("# {start}", POOL))
        said = self.assert_equal_answers(server)
        self.assertEqual({2}, {one["threads"] for one in said})
        for one in said:
            self.assertEqual(one["pid"], one["initialized"])
        (line,) = re.findall(r".*cannot be forked.*", server.log)
        self.assertIn("with preload=model: threads of a library are alive (1); its workers start with", line)
        self.assertTrue(line.endswith("preload=libraries"), line)

    def test_number_that_the_handler_sets_is_that_of_the_workers(self) -> None:
        server = self.serve(LATE.replace("# {start}", ONE_THREAD))
        said = self.assert_equal_answers(server)
        self.assertEqual({1}, {one["threads"] for one in said})
        self.assertEqual(1, len({one["initialized"] for one in said}))
