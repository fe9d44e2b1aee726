"""
The management API as clients see it: the rows of the reference, in both dialects.

Better than the peers, and so other rows than theirs: numbers out of range, bad JSON and empty JSON bodies are
400 (there 500, or accepted); the same URL again is 409 (there 500); no page token when there is no next page;
a ready model has a worker that has loaded; what is wrong in an archive is 400.
"""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

from attrs import define, field
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import AccessDenied, WorkerFailure
from modelserver.jobs import Answer
from modelserver.rest.api import Api
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.management.handlers import ManagementApi
from modelserver.rest.reply import Responder
from modelserver.rest.route import MODEL_CONTROL, Listener
from modelserver.rest.routes import select
from modelserver.testing import make_job
from tests.harness.management import ManagementStage

ID = "01234567-89ab-cdef-0123-456789abcdef"
FAILURE = WorkerFailure("load", 0.0, exception="ImportError", text="no module", permanent=True)
NO_WORKERS = (
    'Model "noop" Version: 1.0 registered with 0 initial workers. '
    "Use scale workers API to add workers for the model."
)
IN_PROGRESS = "Processing worker updates..."


@define
class RecordingGate:
    """Notes what it is asked, and lets only the right key pass."""

    key: bytes | None = None
    asked: list[tuple[str, bytes | None]] = field(factory=list)

    def check(self, kind: str, authorization: bytes | None) -> None:
        """Note it."""
        self.asked.append((kind, authorization))
        if self.key is not None and authorization != self.key:
            raise AccessDenied()


@define
class Got:
    """An answer."""

    code: int
    headers: Any
    raw: bytes

    @property
    def body(self) -> Any:
        """The JSON."""
        return json.loads(self.raw)

    @property
    def status(self) -> tuple[int, str]:
        """Code and sentence of a status answer."""
        assert list(self.body) == ["status"], self.body
        return self.code, self.body["status"]

    @property
    def error(self) -> tuple[int, str, str]:
        """Code, type and message of an error."""
        body = self.body
        assert body["code"] == self.code
        return self.code, body["type"], body["message"]


class ApiCase(SynchronousTestCase):
    """A management API in memory, and short words for calls."""

    dialect = "torchserve"

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.on = ManagementStage(Path(folder.name), self.dialect)
        self.gate = RecordingGate()
        self.serve()
        self.on.add_model("noop.mar", "noop")

    def serve(
        self,
        features: tuple[str, ...] = (MODEL_CONTROL,),
        cors: tuple[tuple[bytes, bytes], ...] = (),
        **settings: Any,
    ) -> None:
        """Make the API anew."""
        dialect = MultiModelServer() if self.dialect == "mms" else TorchServe()
        routes = select({Listener.MANAGEMENT}, self.dialect, features)
        responder = Responder(dialect, lambda: ID, cors)
        front = ManagementApi(self.on.management, responder, routes, **settings)
        self.api = Api(routes, front.handlers(), self.gate, responder)
        self.client = StubTreq(self.api.resource())

    def begin(self, method: str, path: str, **more: Any) -> Deferred[Any]:
        return self.client.request(method, f"http://localhost{path}", **more)

    def finish(self, begun: Deferred[Any]) -> Got:
        self.client.flush()
        response = self.successResultOf(begun)
        return Got(response.code, response.headers, self.successResultOf(self.client.content(response)))

    def call(self, method: str, path: str, **more: Any) -> Got:
        begun = self.begin(method, path, **more)
        self.on.load_all()
        return self.finish(begun)

    def register(self, file: str = "noop.mar", **query: object) -> Got:
        words = "".join(f"&{name}={value}" for name, value in query.items())
        got = self.call("POST", f"/models?url={file}{words}")
        self.assertLess(got.code, 300, got.raw)
        return got

    def two_versions(self) -> None:
        self.on.add_model("second.mar", "noop", "2.0")
        self.register()
        self.register("second.mar")

    @property
    def workers(self) -> list[Any]:
        return [worker for worker in self.on.stage.backend.workers if not worker.is_gone]


class ConventionTests(ApiCase):
    """What is the same on every route."""

    def test_headers_of_every_answer(self) -> None:
        for path, connection in (("/models", "keep-alive"), ("/models/other", "close"), ("/x", "close")):
            headers = self.call("GET", path).headers
            expected = {
                "content-type": "application/json",
                "x-request-id": ID,
                "pragma": "no-cache",
                "cache-control": "no-cache; no-store, must-revalidate, private",
                "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
                "connection": connection,
                "server": None,
            }
            for name, value in expected.items():
                with self.subTest(path=path, name=name):
                    found = headers.getRawHeaders(name)
                    # The client keeps Connection for itself.
                    if name != "connection" or found is not None:
                        self.assertEqual(found, None if value is None else [value])

    def test_request_ids_are_uuids(self) -> None:
        self.assertEqual(str(UUID(self.call("GET", "/models").headers.getRawHeaders("x-request-id")[0])), ID)

    def test_a_clients_request_id_is_ignored(self) -> None:
        got = self.call("GET", "/models", headers={"x-request-id": "mine"})
        self.assertEqual(got.headers.getRawHeaders("x-request-id"), [ID])

    def test_bodies_end_with_a_newline_and_are_indented_by_two(self) -> None:
        self.assertEqual(self.call("GET", "/models").raw, b'{\n  "models": []\n}\n')

    def test_paths(self) -> None:
        self.register()
        for path in ("/models", "/models/", "/models//", "/%6dodels", "/models/?a=b"):
            self.assertEqual(self.call("GET", path).body["models"][0]["modelName"], "noop", path)
        for path in ("/models/noop", "/models/noop/", "/models%2Fnoop", "/models/%6eoop/?x=1"):
            self.assertEqual(self.call("GET", path).code, 200, path)

    def test_unknown_routes(self) -> None:
        for method, path in (
            ("GET", "/x"),
            ("POST", "/models/a/b/c/d"),
            ("GET", "/Models"),
            ("PUT", "/models/a/1.0/default"),
            ("GET", "/v1/models"),
            ("GET", "/predictions/noop"),
        ):
            self.assertEqual(
                self.call(method, path).error,
                (
                    404,
                    "ResourceNotFoundException",
                    "Requested resource is not found, please refer to API document.",
                ),
                path,
            )

    def test_wrong_methods_name_the_right_ones(self) -> None:
        for method, path, allowed in (
            ("PUT", "/models", "GET, HEAD, POST"),
            ("DELETE", "/models", "GET, HEAD, POST"),
            ("PATCH", "/models/noop", "DELETE, GET, HEAD, OPTIONS, PUT"),
            ("POST", "/models/noop/1.0", "DELETE, GET, HEAD, OPTIONS, PUT"),
            ("INVENTED", "/models", "GET, HEAD, POST"),
            ("GET", "/", "OPTIONS"),
            ("GET", "/models/noop/1.0/set-default", "PUT"),
            ("DELETE", "/models/noop/1.0/set-default", "PUT"),
            ("POST", "/v1/models/noop", "GET, HEAD"),
        ):
            got = self.call(method, path)
            self.assertEqual(
                got.error,
                (
                    405,
                    "MethodNotAllowedException",
                    "Requested method is not allowed, please refer to API document.",
                ),
                path,
            )
            self.assertEqual(got.headers.getRawHeaders("allow"), [allowed])

    def test_malformed_requests(self) -> None:
        for path in ("/models/%00", "/models/%ff", "/models/a%0ab"):
            self.assertEqual(
                self.call("GET", path).error, (400, "BadRequestException", "Invalid HTTP message."), path
            )
        got = self.call("GET", "/models", headers={"Host": "a" * 70 + ".example"})
        self.assertEqual(got.error, (400, "BadRequestException", "Invalid HTTP message."))

    def test_head_is_get_without_a_body(self) -> None:
        got = self.call("HEAD", "/models")
        self.assertEqual((got.code, got.raw), (200, b""))

    def test_the_first_of_a_repeated_parameter_counts_and_unknown_ones_do_not(self) -> None:
        got = self.call("POST", "/models?url=noop.mar&model_name=a&model_name=b&color=blue")
        self.assertIn('"a"', got.status[1])

    def test_an_error_of_the_server_is_told_without_its_text(self) -> None:
        self.on.management.observer = None  # type: ignore[assignment]
        self.register()
        got = self.call("GET", "/models/noop")
        self.assertEqual(got.error, (500, "InternalServerException", "Internal server error."))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_access(self) -> None:
        self.gate.key = b"Bearer key"
        for method, path in (("GET", "/models"), ("DELETE", "/models/noop"), ("GET", "/v1/models/noop")):
            self.assertEqual(self.call(method, path).error[:2], (400, "InvalidKeyException"), path)
        self.assertEqual(self.call("GET", "/models", headers={"Authorization": "Bearer key"}).code, 200)
        asked = len(self.gate.asked)
        self.assertEqual(self.call("OPTIONS", "/").code, 200)
        self.assertEqual(self.call("GET", "/api-description").code, 200)
        self.assertEqual(len(self.gate.asked), asked)
        self.assertEqual({kind for kind, _ in self.gate.asked}, {"management"})

    def test_cors_headers_are_on_every_answer(self) -> None:
        self.serve(cors=((b"access-control-allow-origin", b"*"),))
        for path in ("/models", "/nothing"):
            found = self.call("GET", path).headers.getRawHeaders("access-control-allow-origin")
            self.assertEqual(found, ["*"])


class RegisterTests(ApiCase):
    """POST /models."""

    def test_success(self) -> None:
        rows = [
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
            (spec.handler, spec.runtime, spec.batch_size, spec.max_batch_delay, spec.min_workers),
            ("handler.py:other", "python", 4, 0.25, 1),
        )
        self.assertEqual((spec.timeouts.response, spec.timeouts.startup), (3.0, 7.0))
        self.assertEqual((spec.worker_start, spec.preload), ("spawn", "model"))

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
            self.assertEqual((spec.batch_size, spec.max_batch_delay), (3, 0.1))
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
        self.assertEqual(self.on.registry.get("a").spec.batch_size, 2)

    def test_any_other_body_is_ignored(self) -> None:
        got = self.call("POST", "/models?url=noop.mar", data=b"\0\1", headers={"Content-Type": "text/plain"})
        self.assertEqual(got.code, 200)

    def test_a_body_over_the_limit(self) -> None:
        self.serve(max_request_size=10)
        got = self.call("POST", "/models?url=noop.mar", data=b"x" * 11)
        self.assertEqual(got.code, 413)
        self.assertIn("max_request_size", got.error[2])

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
            self.assertEqual(self.on.registry.get("noop").spec.batch_size, 1)
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
        self.workers[0].exit(FAILURE)
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


class ScaleTests(ApiCase):
    """PUT /models/{name}[/{version}]."""

    def test_success(self) -> None:
        self.two_versions()
        rows = [
            ("/models/noop", 202, IN_PROGRESS),
            ("/models/noop?synchronous=true", 200, "Workers scaled to 1 for model: noop"),
            ("/models/noop?min_worker=3&synchronous=true", 200, "Workers scaled to 3 for model: noop"),
            (
                "/models/noop/1.0?min_worker=2&max_worker=2&synchronous=true",
                200,
                "Workers scaled to 2 for model: noop, version: 1.0",
            ),
            (
                "/models/noop?model_version=2.0&synchronous=true",
                200,
                "Workers scaled to 1 for model: noop, version: 2.0",
            ),
            ("/models/noop?min_worker=0&synchronous=true", 200, "Workers scaled to 0 for model: noop"),
            ("/models/noop?min_worker=nan", 202, IN_PROGRESS),
            ("/models/noop?min_worker=0&max_worker=0&batch_size=9", 202, IN_PROGRESS),
        ]
        for path, code, text in rows:
            with self.subTest(path=path):
                self.assertEqual(self.call("PUT", path).status, (code, text))

    def test_numbers(self) -> None:
        self.register()
        for query, count in (("min_worker=3", 3), ("min_worker=abc", 1), ("min_worker=1&max_worker=5", 1)):
            self.call("PUT", f"/models/noop?{query}&synchronous=true")
            self.assertEqual(len(self.workers), 3 if "5" in query else count, query)
            self.call("PUT", "/models/noop?min_worker=3&synchronous=true")

    def test_refusals_kill_nobody(self) -> None:
        self.register(initial_workers=2)
        text = "max_worker cannot be less than min_worker."
        rows: list[tuple[str, int, str, str | None]] = [
            ("/models/noop?min_worker=2&max_worker=1", 400, "BadRequestException", text),
            ("/models/other?min_worker=2&max_worker=1", 400, "BadRequestException", text),
            ("/models/noop?max_worker=0", 400, "BadRequestException", text),
            ("/models/noop?min_worker=-1", 400, "BadRequestException", None),
            ("/models/noop?min_worker=1000000", 400, "BadRequestException", None),
            ("/models/noop?number_gpu=-1", 400, "BadRequestException", None),
            ("/models/noop?timeout=-2", 400, "BadRequestException", None),
            ("/models/other", 404, "ModelNotFoundException", "Model not found: other"),
            (
                "/models/noop/9",
                404,
                "ModelVersionNotFoundException",
                "Model version: 9 does not exist for model: noop",
            ),
            (
                "/models/noop/set-default",
                404,
                "ModelVersionNotFoundException",
                "Model version: set-default does not exist for model: noop",
            ),
            ("/models/noop?model_version=9", 404, "ModelVersionNotFoundException", None),
        ]
        for path, code, kind, message in rows:
            with self.subTest(path=path):
                found = self.call("PUT", path).error
                self.assertEqual(found[:2], (code, kind))
                if message is not None:
                    self.assertEqual(found[2], message)
        self.assertEqual(len(self.workers), 2)

    def test_workers_that_do_not_start(self) -> None:
        self.register()
        for path, version in (("/models/noop", "null"), ("/models/noop/1.0", "1.0")):
            begun = self.begin("PUT", f"{path}?synchronous=true")
            self.workers[0].exit(FAILURE)
            self.on.stage.turn()
            text = f"Failed to start workers for model noop version: {version}"
            self.assertEqual(self.finish(begun).error, (500, "InternalServerException", text))

    def test_a_part_of_the_workers(self) -> None:
        self.register(initial_workers=1)
        begun = self.begin("PUT", "/models/noop?min_worker=2&synchronous=true")
        self.workers[1].exit(FAILURE)
        self.on.stage.turn()
        self.assertEqual(self.finish(begun).status, (206, "Workers scaling in progress..."))

    def test_timeout_is_the_time_to_drain(self) -> None:
        for timeout, seconds in (("0", 0), ("4", 4)):
            self.register(initial_workers=1)
            self.on.registry.get("noop").pool.put(make_job(b"a"))
            self.on.stage.turn()
            begun = self.begin("PUT", f"/models/noop?min_worker=0&synchronous=true&timeout={timeout}")
            self.on.stage.clock.advance(seconds)
            self.on.stage.turn()
            self.assertEqual(self.finish(begun).code, 200, timeout)
            self.call("DELETE", "/models/noop")


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
        self.assertIn(b"X-Mine: 1\r\n", job.head)
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


class DescriptionTests(ApiCase):
    """OPTIONS / and its kin."""

    def test_the_listener(self) -> None:
        for method, path in (("OPTIONS", "/"), ("GET", "/api-description"), ("POST", "/api-description")):
            body = self.call(method, path).body
            self.assertEqual((body["openapi"], body["info"]["title"]), ("3.0.1", "TorchServe APIs"))
            self.assertIn("/models/{model_name}", body["paths"])

    def test_a_model(self) -> None:
        self.register()
        for path in ("/models/noop", "/models/noop/1.0"):
            body = self.call("OPTIONS", path).body
            self.assertEqual(body["info"]["title"], "RESTful Management API for: noop")
            self.assertIn("/models/noop/{model_version}", body["paths"])
        self.assertEqual(self.call("OPTIONS", "/models/other").code, 404)


class MmsTests(ApiCase):
    """What is another in Multi Model Server's dialect."""

    dialect = "mms"

    def test_register(self) -> None:
        rows = [
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
        self.workers[0].exit(FAILURE)
        self.on.stage.turn()
        self.assertEqual(
            self.finish(begun).error, (500, "InternalServerException", "Failed to start workers")
        )

    def test_response_timeout_is_seconds(self) -> None:
        self.register(response_timeout=2)
        self.assertEqual(self.on.registry.get("noop").spec.timeouts.response, 2.0)

    def test_preload_model(self) -> None:
        self.register(preload_model="true")
        self.assertEqual(self.on.registry.get("noop").spec.preload, "model")

    def test_scale(self) -> None:
        self.register()
        self.assertEqual(self.call("PUT", "/models/noop").status, (202, IN_PROGRESS))
        got = self.call("PUT", "/models/noop?min_worker=1&synchronous=true&model_version=9")
        self.assertEqual(got.status, (200, "Workers scaled"))
        begun = self.begin("PUT", "/models/noop?min_worker=2&synchronous=true")
        self.workers[1].exit(FAILURE)
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
