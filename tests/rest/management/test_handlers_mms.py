"""The management API in Multi Model Server's dialect, where it differs from TorchServe's."""

from __future__ import annotations

from typing import Any

from tests.harness.management import LOAD_FAILURE
from tests.harness.management_api import IN_PROGRESS, ApiCase


class MmsTests(ApiCase):
    """What is another in Multi Model Server's dialect."""

    dialect = "mms"

    def test_register(self) -> None:
        rows: list[tuple[dict[str, Any], int, str]] = [
            ({}, 200, 'Model "noop" registered'),
            ({"initial_workers": 1}, 200, "Workers scaled"),
            ({"initial_workers": 1, "synchronous": "false"}, 202, IN_PROGRESS),
        ]
        for query, code, text in rows:
            self.assertEqual(self.register(**query).status, (code, text))
            self.call("DELETE", "/models/noop")

    def test_register_refusals(self) -> None:
        self.on.add_model("second.mar", "noop", "2.0")
        self.on.add_model("no-handler", handler="")
        self.register()
        again = (409, "ConflictStatusException", "Model noop is already registered.")
        missing = (404, "ModelNotFoundException", "Model not found in model store: no.mar")
        download = (400, "DownloadModelException", "Failed to download model from: http://a.example/x.mar")
        for query, error in (
            ("url=noop.mar", again),
            ("url=second.mar", again),
            ("url=no.mar", missing),
            ("url=http://a.example/x.mar", download),
            (
                "url=http://a.example:port/x.mar",
                (404, "ModelNotFoundException", "Invalid model url: http://a.example:port/x.mar"),
            ),
            ("url=no-handler", (400, "InvalidModelException", "Model handler is not defined.")),
        ):
            self.assertEqual(self.call("POST", f"/models?{query}").error, error)

    def test_workers_that_do_not_start(self) -> None:
        begun = self.begin("POST", "/models?url=noop.mar&initial_workers=1")
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        self.assertEqual(
            self.finish(begun).error, (500, "InternalServerException", "Failed to start workers")
        )

    def test_response_timeout_is_seconds(self) -> None:
        self.register(response_timeout=2)
        self.assertEqual(self.on.registry.get("noop").spec.timeouts.response, 2.0)

    def test_preload_model(self) -> None:
        self.register(preload_model="true")
        self.assertEqual(self.on.registry.get("noop").spec.start.preload, "model")

    def test_scale(self) -> None:
        self.register()
        self.assertEqual(self.call("PUT", "/models/noop").status, (202, IN_PROGRESS))
        got = self.call("PUT", "/models/noop?min_worker=1&synchronous=true&model_version=9")
        self.assertEqual(got.status, (200, "Workers scaled"))
        begun = self.begin("PUT", "/models/noop?min_worker=2&synchronous=true")
        self.workers[1].exit(LOAD_FAILURE)
        self.on.stage.turn()
        self.assertEqual(self.finish(begun).status, (210, "Workers scaling in progress..."))

    def test_describe_is_an_object(self) -> None:
        self.register(initial_workers=1)
        body = self.call("GET", "/models/noop?customized=true").body
        self.assertEqual(
            (body["modelName"], body["engine"], len(body["workers"]), "customizedMetadata" in body),
            ("noop", "MXNet", 1, False),
        )

    def test_unregister(self) -> None:
        self.register()
        self.assertEqual(self.call("DELETE", "/models/noop").status, (200, 'Model "noop" unregistered'))
        self.assertEqual(
            self.call("DELETE", "/models/noop").error,
            (404, "ModelNotFoundException", "Model not found: noop"),
        )

    def test_routes_that_it_has_not(self) -> None:
        self.register()
        for method, path, code in (
            ("GET", "/models/noop/1.0", 404),
            ("GET", "/models/noop/all", 404),
            ("PUT", "/models/noop/1.0", 404),
            ("PUT", "/models/noop/1.0/set-default", 404),
            ("DELETE", "/models/noop/1.0", 404),
            ("GET", "/v1/models/noop", 404),
            ("OPTIONS", "/models/noop", 405),
            ("GET", "/", 405),
        ):
            self.assertEqual(self.call(method, path).code, code, path)

    def test_description(self) -> None:
        body = self.call("OPTIONS", "/").body
        self.assertEqual((body["info"]["title"], body["info"]["version"]), ("Model Server APIs", "1.0.0"))
        self.assertNotIn("/models/{model_name}/{model_version}", body["paths"])
