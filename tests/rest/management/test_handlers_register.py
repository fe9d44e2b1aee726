"""``POST /models`` as clients see it: the rows of the reference in TorchServe's dialect."""

from __future__ import annotations

from typing import Any

from modelserver.spec import WorkerFailure
from tests.harness.management import LOAD_FAILURE
from tests.harness.management_api import IN_PROGRESS, NO_WORKERS, ApiCase


class RegisterTests(ApiCase):
    """POST /models."""

    def test_success(self) -> None:
        rows: list[tuple[dict[str, Any], int, str]] = [
            ({}, 200, NO_WORKERS),
            ({"synchronous": "false"}, 200, NO_WORKERS),
            ({"initial_workers": 0}, 200, NO_WORKERS),
            ({"initial_workers": -1}, 200, NO_WORKERS),
            ({"initial_workers": 1, "synchronous": "false"}, 202, IN_PROGRESS),
            ({"initial_workers": 1, "synchronous": "no"}, 202, IN_PROGRESS),
            ({"initial_workers": 2}, 200, 'Model "noop" Version: 1.0 registered with 2 initial workers'),
            (
                {"initial_workers": 1, "synchronous": "TRUE"},
                200,
                'Model "noop" Version: 1.0 registered with 1 initial workers',
            ),
        ]
        for query, code, text in rows:
            with self.subTest(query=query):
                self.assertEqual(self.register(**query).status, (code, text))
                self.call("DELETE", "/models/noop")

    def test_all_parameters_arrive(self) -> None:
        self.register(
            model_name="mine",
            handler="handler.py:other",
            runtime="PYTHON",
            batch_size=4,
            max_batch_delay=250,
            response_timeout=3,
            startup_timeout=7,
            initial_workers=1,
            worker_start="spawn",
            preload="model",
        )
        spec = self.on.registry.get("mine").spec
        self.assertEqual(
            (spec.handler, spec.runtime, spec.batching.size, spec.batching.max_delay, spec.workers.minimum),
            ("handler.py:other", "python", 4, 0.25, 1),
        )
        self.assertEqual((spec.timeouts.response, spec.timeouts.startup), (3.0, 7.0))
        self.assertEqual((spec.start.method, spec.start.preload), ("spawn", "model"))

    def test_json_instead_of_the_query(self) -> None:
        for number, body in enumerate(
            (
                b'{"url": "noop.mar", "batch_size": 3, "initial_workers": 0, "unknown": [1]}',
                b'{"url": "noop.mar", "batch_size": "3", "synchronous": "true"}',
                b"{url: 'noop.mar', 'batch_size': 3}",
            )
        ):
            got = self.call(
                "POST",
                f"/models?url=other.mar&model_name=m{number}",
                data=body,
                headers={"Content-Type": "application/json; charset=utf-8"},
            )
            self.assertEqual(got.status[0], 200, body)
            spec = self.on.registry.get("noop").spec
            self.assertEqual((spec.batching.size, spec.batching.max_delay), (3, 0.1))
            self.call("DELETE", "/models/noop")

    def test_json_that_is_none(self) -> None:
        for body in (
            b"",
            b" ",
            b"{",
            b"[]",
            b"1",
            b'{"url": "noop.mar", "batch_size": "many"}',
            b'{"url": "noop.mar", "batch_size": []}',
            b'{"url": ["noop.mar"]}',
            b'{"url": "noop.mar", "synchronous": 1}',
            b"[" * 10000,
            b"\xff",
        ):
            got = self.call("POST", "/models", data=body, headers={"Content-Type": "application/json"})
            self.assertEqual(got.error[:2], (400, "BadRequestException"), body[:50])
        self.assertEqual(self.on.registry.names(), [])

    def test_a_form_is_read_beside_the_query(self) -> None:
        self.call(
            "POST",
            "/models?model_name=a",
            data=b"url=noop.mar&model_name=b&batch_size=2",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        self.assertEqual(self.on.registry.get("a").spec.batching.size, 2)

    def test_any_other_body_is_ignored(self) -> None:
        got = self.call("POST", "/models?url=noop.mar", data=b"\0\1", headers={"Content-Type": "text/plain"})
        self.assertEqual(got.code, 200)

    def test_refusals(self) -> None:
        (self.on.store / "bad.mar").write_bytes(b"nothing")
        self.on.add_model("unnamed", modelName="")
        name = "a%2Fb"
        rows = [
            ("", 400, "BadRequestException", "Parameter url is required."),
            ("url=", 404, "ModelNotFoundException", "empty url"),
            ("url=no.mar", 404, "ModelNotFoundException", "Model not found at: no.mar"),
            (
                "url=../x.mar",
                404,
                "ModelNotFoundException",
                "Relative path is not allowed in url: ../x.mar",
            ),
            (
                "url=http://a.example/x.mar",
                400,
                "DownloadArchiveException",
                "Failed to download archive from: http://a.example/x.mar",
            ),
            (
                "url=ftp://a.example/x.mar",
                404,
                "ModelNotFoundException",
                "Given URL ftp://a.example/x.mar does not match any allowed URL(s)",
            ),
            (
                "url=http://a.example:port/x.mar",
                400,
                "DownloadArchiveException",
                "Failed to download archive from: http://a.example:port/x.mar",
            ),
            ("url=bad.mar", 400, "InvalidModelException", None),
            ("url=noop.mar&runtime=cobol", 400, "BadRequestException", "Invalid RuntimeType value: cobol"),
            ("url=no.mar&runtime=cobol", 400, "BadRequestException", "Invalid RuntimeType value: cobol"),
            ("url=noop.mar&batch_size=0", 400, "BadRequestException", None),
            ("url=noop.mar&batch_size=-1", 400, "BadRequestException", None),
            ("url=noop.mar&max_batch_delay=-1", 400, "BadRequestException", None),
            ("url=noop.mar&batch_size=99999999999999999999999", 400, "BadRequestException", None),
            (f"url=noop.mar&model_name={name}", 400, "BadRequestException", None),
            ("url=noop.mar&model_name=..", 400, "BadRequestException", None),
            (f"url=noop.mar&model_name={'a' * 256}", 400, "BadRequestException", None),
            ("url=noop.mar&sha256=12", 400, "BadRequestException", None),
            (f"url=noop.mar&sha256={'0' * 64}", 400, "InvalidModelException", None),
            ("url=noop.mar&worker_start=later", 400, "BadRequestException", None),
        ]
        for query, code, kind, message in rows:
            with self.subTest(query=query):
                found = self.call("POST", f"/models?{query}").error
                self.assertEqual(found[:2], (code, kind))
                if message is not None:
                    self.assertEqual(found[2], message)
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_numbers_that_are_none_are_the_default_with_a_warning(self) -> None:
        for value in ("abc", "nan", "", "1.5"):
            got = self.register(batch_size=value)
            warning = '299 - "Parameter batch_size could not be read; its default was used."'
            self.assertEqual(got.headers.getRawHeaders("warning"), [warning])
            self.assertEqual(self.on.registry.get("noop").spec.batching.size, 1)
            self.call("DELETE", "/models/noop")

    def test_numbers_that_are_none_are_refused_where_parameters_are_strict(self) -> None:
        self.serve(strict_parameters=True)
        got = self.call("POST", "/models?url=noop.mar&batch_size=abc")
        self.assertEqual(got.error, (400, "BadRequestException", "Parameter batch_size must be an integer."))

    def test_duplicates(self) -> None:
        self.register()
        self.assertEqual(
            self.call("POST", "/models?url=noop.mar").error,
            (409, "ConflictStatusException", "Model version 1.0 is already registered for model noop"),
        )

    def test_the_same_url_twice(self) -> None:
        (self.on.store / "far.mar").write_bytes(b"")
        self.on.downloads.files["http://a.example/far.mar"] = self.on.store / "far.mar"
        got = self.call("POST", "/models?url=http://a.example/far.mar")
        self.assertEqual(got.error, (409, "ConflictStatusException", "Model file already exists far.mar"))

    def test_workers_that_do_not_start(self) -> None:
        begun = self.begin("POST", "/models?url=noop.mar&initial_workers=1")
        self.workers[0].exit(LOAD_FAILURE)
        self.on.stage.turn()
        got = self.finish(begun)
        self.assertEqual(
            got.error,
            (500, "InternalServerException", "Failed to start workers for model noop version: 1.0"),
        )
        self.assertEqual((got.body["exception"], got.body["text"]), ("ImportError", "no module"))
        self.assertEqual(self.call("GET", "/models").body, {"models": []})

    def test_out_of_memory_is_507(self) -> None:
        begun = self.begin("POST", "/models?url=noop.mar&initial_workers=1")
        self.workers[0].exit(WorkerFailure("signal", 0.0, signal="SIGKILL", out_of_memory=True))
        self.on.stage.turn()
        self.assertEqual(self.finish(begun).code, 507)

    def test_a_client_that_leaves_takes_nothing_back(self) -> None:
        begun = self.begin("POST", "/models?url=noop.mar&initial_workers=1")
        begun.addErrback(lambda failure: None)
        begun.cancel()
        self.client.flush()
        self.on.load_all()
        self.assertEqual(self.call("GET", "/models/noop").body[0]["minWorkers"], 1)

    def test_settings_of_the_archive_and_of_the_call(self) -> None:
        self.on.add_model("set", config="batchSize: 8\nmaxBatchDelay: 50\nresponseTimeout: 33\n")
        self.register("set", batch_size=2)
        (model,) = self.call("GET", "/models/set").body
        self.assertEqual((model["batchSize"], model["maxBatchDelay"], model["responseTimeout"]), (2, 50, 33))

    def test_it_exists_only_where_model_control_is_on(self) -> None:
        self.serve(features=())
        for method, path in (
            ("POST", "/models?url=noop.mar"),
            ("DELETE", "/models/noop"),
            ("DELETE", "/models/noop/1.0"),
        ):
            self.assertEqual(self.call(method, path).error[:2], (405, "MethodNotAllowedException"))
        self.assertEqual(self.call("GET", "/models").code, 200)
        self.assertEqual(self.call("PUT", "/models/noop").code, 404)
