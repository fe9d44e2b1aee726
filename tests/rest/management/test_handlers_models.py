"""Registered models as clients see, choose and remove them, in TorchServe's dialect."""

from __future__ import annotations

from modelserver.jobs import Answer
from modelserver.spec import WorkerFailure
from tests.harness.management_api import ApiCase


class DescribeTests(ApiCase):
    """GET /models/{name}[/{version}]."""

    def test_versions(self) -> None:
        self.two_versions()
        rows = [
            ("/models/noop", ["1.0"]),
            ("/models/noop/2.0", ["2.0"]),
            ("/models/noop/all", ["1.0", "2.0"]),
        ]
        for path, versions in rows:
            got = self.call("GET", path)
            self.assertEqual([model["modelVersion"] for model in got.body], versions)

    def test_workers(self) -> None:
        self.register(initial_workers=1)
        (model,) = self.call("GET", "/models/noop").body
        (worker,) = model["workers"]
        pid = self.workers[0].pid
        self.assertEqual(
            worker,
            {
                "id": "9000",
                "startTime": "2023-11-14T22:13:20.000Z",
                "status": "READY",
                "memoryUsage": pid * 1000,
                "memoryPrivate": pid * 600,
                "memoryShared": pid * 400,
                "pid": pid,
                "gpu": False,
                "gpuUsage": "N/A",
            },
        )
        self.assertEqual(model["jobQueueStatus"], {"remainingCapacity": 100, "pendingRequests": 0})

    def test_a_worker_that_failed_tells_why(self) -> None:
        self.register(initial_workers=1, synchronous="false")
        self.workers[0].exit(WorkerFailure("exit", 0.5, exit_code=3, stderr=("bye",)))
        self.on.stage.turn()
        (model,) = self.call("GET", "/models/noop").body
        self.assertEqual(
            model["workers"][0]["lastFailure"],
            {
                "type": "exit",
                "text": "exited with code 3",
                "exitCode": 3,
                "stderr": ["bye"],
                "at": "1970-01-01T00:00:00.500Z",
            },
        )

    def test_refusals(self) -> None:
        self.register()
        missing = "Model version: 9 does not exist for model: noop"
        for path, kind, message in (
            ("/models/other", "ModelNotFoundException", "Model not found: other"),
            ("/models/other/1.0", "ModelNotFoundException", "Model not found: other"),
            ("/models/other/all", "ModelNotFoundException", "Model not found: other"),
            ("/models/noop/9", "ModelVersionNotFoundException", missing),
        ):
            self.assertEqual(self.call("GET", path).error, (404, kind, message))

    def test_customized(self) -> None:
        self.register(initial_workers=1)
        begun = self.begin("GET", "/models/noop?customized=true", headers={"X-Mine": "1"})
        self.on.stage.turn()
        (job,) = self.workers[0].batches[0][1]
        self.assertIn(b"X-Mine: 1\r\n", job.request.header_block)
        self.workers[0].answer(Answer(200, b"", b'{"classes": 10}'))
        (model,) = self.finish(begun).body
        self.assertEqual(model["customizedMetadata"], {"classes": 10})
        self.assertNotIn("customizedMetadata", self.call("GET", "/models/noop?customized=1").body[0])

    def test_customized_without_a_worker(self) -> None:
        self.register()
        text = (
            'Model "noop" has no worker to serve describe request. '
            "Please use scale workers API to add workers."
        )
        self.assertEqual(
            self.call("GET", "/models/noop?customized=true").error,
            (503, "ServiceUnavailableException", text),
        )

    def test_customized_without_an_answer(self) -> None:
        self.register(initial_workers=1)
        begun = self.begin("GET", "/models/noop/1.0?customized=true")
        self.on.stage.clock.advance(120)
        self.assertEqual(
            self.finish(begun).error,
            (500, "InternalServerException", "Failed to get customized model matadata."),
        )


class UnregisterTests(ApiCase):
    """DELETE /models/{name}[/{version}]."""

    def test_success(self) -> None:
        gone = (200, 'Model "noop" unregistered')
        self.register()
        self.assertEqual(self.call("DELETE", "/models/noop").status, gone)
        self.two_versions()
        self.assertEqual(self.call("DELETE", "/models/noop/2.0").status, gone)
        self.assertEqual(self.call("DELETE", "/models/noop/1.0").status, gone)
        self.assertEqual(self.call("GET", "/models").body, {"models": []})

    def test_refusals(self) -> None:
        self.two_versions()
        default = (403, "InvalidModelVersionException", "Cannot remove default version for model noop")
        missing = "Model version: 9 does not exist for model: noop"
        for path, error in (
            ("/models/noop", default),
            ("/models/noop/1.0", default),
            ("/models/other", (404, "ModelNotFoundException", "Model not found: other")),
            ("/models/noop/9", (404, "ModelVersionNotFoundException", missing)),
        ):
            self.assertEqual(self.call("DELETE", path).error, error)

    def test_workers_that_do_not_end(self) -> None:
        self.register(initial_workers=1)
        self.workers[0].events = self
        begun = self.begin("DELETE", "/models/noop")
        self.on.stage.clock.advance(26)
        self.assertEqual(
            self.finish(begun).error,
            (408, "RequestTimeoutException", "Timed out while cleaning resources: noop"),
        )
        self.assertEqual(self.call("GET", "/models/noop").body[0]["minWorkers"], 0)
        self.assertEqual(self.call("DELETE", "/models/noop").code, 200)

    def exited(self, failure: WorkerFailure) -> None:
        """In place of a worker, whose end is not seen."""


class ListTests(ApiCase):
    """GET /models."""

    def test_pages(self) -> None:
        for name in ("b", "a", "C"):
            self.on.add_model(f"{name}.mar", name)
            self.register(f"{name}.mar")
        rows: list[tuple[str, list[str], str | None]] = [
            ("", ["C", "a", "b"], None),
            ("?limit=2", ["C", "a"], "2"),
            ("?limit=2&next_page_token=2", ["b"], None),
            ("?limit=3", ["C", "a", "b"], None),
            ("?limit=0", [], None),
            ("?limit=-1", ["C", "a", "b"], None),
            ("?limit=101", ["C", "a", "b"], None),
            ("?limit=x", ["C", "a", "b"], None),
            ("?next_page_token=-5", ["C", "a", "b"], None),
            ("?next_page_token=x", ["C", "a", "b"], None),
            ("?next_page_token=7", [], None),
        ]
        for query, names, token in rows:
            with self.subTest(query=query):
                body = self.call("GET", f"/models{query}").body
                self.assertEqual([model["modelName"] for model in body["models"]], names)
                self.assertEqual(body.get("nextPageToken"), token)

    def test_rows_are_of_the_default_version(self) -> None:
        self.two_versions()
        self.call("PUT", "/models/noop/2.0/set-default")
        self.assertEqual(
            self.call("GET", "/models").body, {"models": [{"modelName": "noop", "modelUrl": "second.mar"}]}
        )


class SetDefaultTests(ApiCase):
    """PUT /models/{name}/{version}/set-default."""

    def test_rows(self) -> None:
        self.two_versions()
        self.assertEqual(self.call("GET", "/models/noop").body[0]["modelVersion"], "1.0")
        self.assertEqual(
            self.call("PUT", "/models/noop/2.0/set-default").status,
            (200, 'Default version successfully updated for model "noop" to "2.0"'),
        )
        self.assertEqual(self.call("GET", "/models/noop").body[0]["modelVersion"], "2.0")
        self.assertEqual(
            self.call("PUT", "/models/other/2.0/set-default").error,
            (404, "ModelNotFoundException", "Model not found: other"),
        )
        self.assertEqual(
            self.call("PUT", "/models/noop/9/set-default").error,
            (404, "ModelVersionNotFoundException", "Model version 9 does not exist for model noop"),
        )


class ReadinessTests(ApiCase):
    """GET /v1/models/{name}."""

    def test_rows(self) -> None:
        self.register()
        self.assertEqual(self.call("GET", "/v1/models/noop").body, {"name": "noop", "ready": False})
        self.call("PUT", "/models/noop?synchronous=true")
        self.assertEqual(self.call("GET", "/v1/models/noop:x").body, {"name": "noop", "ready": True})
        self.assertEqual(
            self.call("GET", "/v1/models/other").error,
            (404, "ModelNotFoundException", "Model not found: other"),
        )
