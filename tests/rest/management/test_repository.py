"""The model store as a repository of the Open Inference Protocol, over HTTP."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from modelserver.core.version import ModelVersion
from modelserver.spec import WorkerFailure
from tests.harness.management import LOAD_FAILURE
from tests.harness.management_api import ApiCase, Got

INDEX = "/v2/repository/index"


class RepositoryCase(ApiCase):
    """Words for calls."""

    def load(self, name: str, **body: object) -> Got:
        return self.call("POST", f"/v2/repository/models/{name}/load", data=json.dumps(body).encode())

    def unload(self, name: str) -> Got:
        return self.call("POST", f"/v2/repository/models/{name}/unload")

    def index(self, **body: object) -> Any:
        got = self.call("POST", INDEX, data=json.dumps(body).encode() if body else b"")
        self.assertEqual(200, got.code, got.raw)
        return got.body

    def assert_refused(self, got: Got, code: int, text: str) -> None:
        self.assertEqual((code, text), (got.code, got.body["error"]))
        self.assertEqual((code, text), (got.body["code"], got.body["message"]))


class IndexTests(RepositoryCase):
    """POST /v2/repository/index."""

    def test_what_lies_there_and_what_is_registered(self) -> None:
        self.on.add_model("other.mar", "inner", "3.0")
        self.on.add_model("busy.mar", "busy")
        self.register("other.mar", initial_workers=1)
        self.register("busy.mar")
        self.assertEqual(
            [
                {"name": "busy", "version": "1.0", "state": "UNAVAILABLE", "reason": "it has no workers"},
                {"name": "inner", "version": "3.0", "state": "READY", "reason": ""},
                {"name": "noop", "state": "UNAVAILABLE", "reason": "unloaded"},
            ],
            self.index(),
        )

    def test_only_those_that_can_be_asked(self) -> None:
        self.assertEqual([], self.index(ready=True))
        self.register(initial_workers=1)
        ready = [{"name": "noop", "version": "1.0", "state": "READY", "reason": ""}]
        self.assertEqual(ready, self.index(ready=True))
        self.assertEqual(ready, self.index(ready=False))

    def test_workers_that_come_and_workers_that_fail(self) -> None:
        self.finish(self.begin("POST", "/models?url=noop.mar&initial_workers=1&synchronous=false"))
        (row,) = self.finish(self.begin("POST", INDEX)).body
        self.assertEqual("LOADING", row["state"])
        self.on.stage.turn()
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        (row,) = self.index()
        self.assertEqual(("UNAVAILABLE", "its workers have failed"), (row["state"], row["reason"]))

    def test_bodies_that_say_nothing_clear(self) -> None:
        for body, text in (
            (b"{", "The JSON body cannot be read."),
            (b"[1]", "The JSON body must be an object."),
            (b'{"ready": "yes"}', "ready has to be true or false."),
            (b" " * 70_000, "The body is longer than 65536 bytes."),
            (b"[" * 60_000, "The JSON body cannot be read."),
        ):
            self.assert_refused(self.call("POST", INDEX, data=body), 400, text)


class LoadTests(RepositoryCase):
    """POST /v2/repository/models/{name}/load."""

    @property
    def version(self) -> ModelVersion:
        return self.on.registry.get("noop")

    def test_a_model_of_the_store_comes_with_a_worker(self) -> None:
        got = self.load("noop")
        self.assertEqual((200, {"name": "noop", "load": True}), (got.code, got.body))
        self.assertEqual(1, self.version.pool.ready)
        self.assertEqual("1.0", self.version.spec.version)

    def test_the_answer_waits_for_the_worker(self) -> None:
        begun = self.begin("POST", "/v2/repository/models/noop/load", data=b"{}")
        self.on.stage.turn()
        self.assertNoResult(begun)
        self.on.load_all()
        self.assertEqual(200, self.finish(begun).code)

    def test_by_the_name_that_is_asked_for(self) -> None:
        self.on.add_model("file.mar", "inner", "3.0")
        self.load("file")
        self.assertEqual(["file"], self.on.registry.names())
        self.assertEqual(["file", "noop"], [row["name"] for row in self.index()])

    def test_again_changes_nothing(self) -> None:
        self.load("noop")
        before = self.version
        self.assertEqual(200, self.load("noop").code)
        self.assertIs(before, self.version)
        self.assertEqual(1, len(self.workers))

    def test_two_at_once_load_one(self) -> None:
        path = "/v2/repository/models/noop/load"
        begun = [self.begin("POST", path) for _ in range(2)]
        self.on.load_all()
        self.assertEqual([200, 200], [self.finish(each).code for each in begun])
        self.assertEqual(1, len(self.workers))

    def test_unloaded_during_the_load(self) -> None:
        for prepare in (lambda: None, self.register):
            prepare()
            begun = self.begin("POST", "/v2/repository/models/noop/load")
            self.on.stage.turn()
            self.assertEqual(200, self.unload("noop").code)
            self.on.stage.turn()
            text = "Model 'noop' was unregistered while the request was waiting."
            self.assert_refused(self.finish(begun), 503, text)

    def test_a_registered_model_without_workers_gets_one(self) -> None:
        self.register()
        self.assertEqual(200, self.load("noop").code)
        self.assertEqual(1, self.version.pool.ready)

    def test_a_model_that_is_not_there(self) -> None:
        for name in ("nothing", "..", "..%2Fstore", "noop.mar.mar"):
            got = self.load(name)
            self.assertEqual(404, got.code, name)
        self.assert_refused(self.load("nothing"), 404, "Model not found: nothing")

    def test_a_model_that_cannot_be_loaded_is_not_registered(self) -> None:
        begun = self.begin("POST", "/v2/repository/models/noop/load")
        self.on.stage.turn()
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        text = "Failed to start workers for model noop version: 1.0"
        self.assert_refused(self.finish(begun), 500, text)
        self.assertFalse(self.on.registry.has("noop"))

    def test_parameters(self) -> None:
        self.assertEqual(200, self.load("noop", parameters={"mine": 1}).code)
        for name in ("config", "file:1/model.pt"):
            text = f"{name} is not supported: a model is what its archive says."
            self.assert_refused(self.load("noop", parameters={name: "{}"}), 400, text)
        self.assertEqual(200, self.load("noop", parameters=None).code)
        for wrong in ([1], [], "", 0, False):
            self.assert_refused(self.load("noop", parameters=wrong), 400, "parameters have to be an object.")

    def test_nobody_loads_where_models_cannot_be_registered(self) -> None:
        self.serve(features=())
        self.assertIn(self.load("noop").code, (404, 405))
        self.assertIn(self.unload("noop").code, (404, 405))
        self.assertEqual("noop", self.index()[0]["name"])
        self.assertFalse(self.on.registry.has("noop"))


class UnloadTests(RepositoryCase):
    """POST /v2/repository/models/{name}/unload."""

    def test_every_version_goes(self) -> None:
        self.two_versions()
        got = self.unload("noop")
        self.assertEqual((200, {"name": "noop", "unload": True}), (got.code, got.body))
        self.assertFalse(self.on.registry.has("noop"))

    def test_a_model_that_is_not_loaded(self) -> None:
        self.assertEqual(200, self.unload("noop").code)
        self.assert_refused(self.unload("nothing"), 404, "Model not found: nothing")

    def test_a_model_whose_archive_is_gone(self) -> None:
        self.load("noop")
        (self.on.store / "noop.mar").rename(self.on.store / "elsewhere")
        self.assertEqual(200, self.unload("noop").code)

    def test_a_node_of_a_workflow_stays_with_all_versions(self) -> None:
        self.two_versions()
        self.on.management.needed_by = lambda version: ["flow"] if version.spec.version == "1.0" else []
        got = self.unload("noop")
        self.assertEqual(409, got.code)
        self.assertIn("workflow flow", got.body["error"])
        self.assertEqual(2, len(self.on.registry.versions("noop")))

    def test_a_worker_that_has_gone(self) -> None:
        self.load("noop")
        self.workers[0].exit(WorkerFailure("exit", 0.5, exit_code=3))
        self.on.stage.turn()
        self.assertEqual(200, self.unload("noop").code)

    def test_two_at_once_unload_all(self) -> None:
        self.two_versions()
        written: list[Deferred[None]] = []

        def changed() -> Deferred[None]:
            written.append(Deferred())
            return written[-1]

        self.on.management.changed = changed
        begun = [self.begin("POST", "/v2/repository/models/noop/unload") for _ in range(2)]
        for snapshot in written:  # more come meanwhile
            snapshot.callback(None)
        self.assertEqual([200, 200], [self.finish(each).code for each in begun])
        self.assertFalse(self.on.registry.has("noop"))
