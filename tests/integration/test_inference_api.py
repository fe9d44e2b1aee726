"""Every row of the inference API, asked of a real server in both dialects."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar
from unittest import TestCase

import pytest

from modelserver.archive.pack import PackRequest, pack
from tests.harness.server_process import LONGEST, ServerProcess, eventually
from tests.peers.probe_requests import FORM, HANDLER, JSON, MULTIPART, PARTS, TEXT, Ask, Told, ask

pytestmark = pytest.mark.xdist_group("inference_api")

KEEP, CLOSE = {"connection": "keep-alive"}, {"connection": "close"}
ERROR_HEADERS = {"content-type": "application/json", **CLOSE}
NOT_FOUND = (
    404,
    "ResourceNotFoundException",
    "Requested resource is not found, please refer to API document.",
)
CONTEXT = {
    "name": "probe",
    "properties": {
        "gpu_id": None,
        "batch_size": 1,
        "server_name": "MMS",
        "limit_max_image_pixels": True,
    },
    "folder": True,
    "version": "str",
    "manifest": "probe",
    "yaml": {},
}


def raw(text: str) -> list[object]:
    """How the handler shows bytes."""
    return ["bytearray", text]


INPUTS: dict[str, tuple[Ask, dict[str, object]]] = {
    "bytes": (Ask(body=b"\x00\xff"), {"body": raw("\x00\xff")}),
    "nothing": (Ask(), {"body": raw("")}),
    "GET": (Ask(method="GET"), {"body": raw("")}),
    "PUT": (Ask(method="PUT", body=b"p"), {"body": raw("p")}),
    "JSON object": (Ask(body=b'{"a": 1}', headers=JSON), {"body": ["dict", {"a": 1}]}),
    "JSON list": (Ask(body=b"[1, 2]", headers=JSON), {"body": ["list", [1, 2]]}),
    "JSON with parameters": (
        Ask(body=b"1", headers={"Content-Type": "application/json; charset=utf-8"}),
        {"body": ["int", 1]},
    ),
    "JSON in capitals is none": (
        Ask(body=b"1", headers={"Content-Type": "Application/JSON"}),
        {"body": raw("1")},
    ),
    "JSON that is broken": (Ask(body=b'{"a": ', headers=JSON), {"body": raw('{"a": ')}),
    "JSON that is empty": (Ask(headers=JSON), {"body": raw("")}),
    "text": (Ask(body="grüß".encode(), headers=TEXT), {"body": ["str", "grüß"]}),
    "text of another kind": (
        Ask(body=b"1,2", headers={"Content-Type": "text/csv"}),
        {"body": ["str", "1,2"]},
    ),
    "text that is no UTF-8": (Ask(body=b"\xff\xfe", headers=TEXT), {"body": raw("\xff\xfe")}),
    "octets": (
        Ask(body=b"1", headers={"Content-Type": "application/octet-stream"}),
        {"body": raw("1")},
    ),
    "form": (
        Ask(body=b"a=1&b=x%20y&a=2&e=", headers=FORM),
        {"a": raw("2"), "b": raw("x y"), "e": raw("")},
    ),
    "multipart": (
        Ask(body=PARTS, headers=MULTIPART),
        {
            "a": raw("one"),
            "f": ["dict", {"x": 1}],
            "t": ["str", "text"],
            "n": raw("raw"),
            "j": raw('{"y": 2}'),
            "d": ["str", "last"],
        },
    ),
    "multipart without a boundary is bytes": (
        Ask(body=b"--B", headers={"Content-Type": "multipart/form-data"}),
        {"body": raw("--B")},
    ),
    "no query of a prediction": (Ask("/predictions/probe?q=1", b"x"), {"body": raw("x")}),
    "query of an invocation": (
        Ask("/invocations?model_name=probe&q=1", b"x"),
        {"body": raw("x"), "model_name": raw("probe"), "q": raw("1")},
    ),
    "query of an invoke": (
        Ask("/models/probe/invoke?q=1&q=2&z=", b"x"),
        {"body": raw("x"), "q": raw("2"), "z": raw("")},
    ),
    "query of the old route": (Ask("/probe/predict?q=1", b"x"), {"body": raw("x"), "q": raw("1")}),
    "form before query": (Ask("/probe/predict?a=q", b"a=form", FORM), {"a": raw("form")}),
    "only model of the start": (Ask("/invocations", b"x"), {"body": raw("x")}),
    "encoded name": (Ask("/predictions/pr%6fbe", b"x"), {"body": raw("x")}),
    "slash at the end": (Ask("/predictions/probe/", b"x"), {"body": raw("x")}),
}
"""What a handler gets as ``data``: section 4, and the routes of section 1 that both dialects have."""

TORCHSERVE_INPUTS: dict[str, tuple[Ask, dict[str, object]]] = {
    "version": (Ask("/predictions/probe/1.0", b"x"), {"body": raw("x")}),
    "path below": (Ask("/predictions/probe/1.0/a/b", b"x"), {"body": raw("x")}),
    "old route with a version": (Ask("/probe/1.0/predict", b"x"), {"body": raw("x")}),
    "explanations": (Ask("/explanations/probe", b"x"), {"body": raw("x")}),
    "KServe 1": (Ask("/v1/models/probe:predict?q=1", b"x"), {"body": raw("x")}),
    "KServe 1 explain": (Ask("/v1/models/probe:explain", b"x"), {"body": raw("x")}),
    "KServe 2": (Ask("/v2/models/probe/infer", b"x"), {"body": raw("x")}),
    "KServe 2 explain": (Ask("/v2/models/probe/explain", b"x"), {"body": raw("x")}),
    "KServe 2 with a version": (Ask("/v2/models/probe/versions/1.0/infer", b"x"), {"body": raw("x")}),
}
MMS_INPUTS: dict[str, tuple[Ask, dict[str, object]]] = {
    "anything below": (Ask("/predictions/probe/9.9", b"x"), {"body": raw("x")}),
    "more below": (Ask("/predictions/probe/9.9/a", b"x"), {"body": raw("x")}),
}

OUTPUTS: dict[str, Told] = {
    "bytes": Told(200, "", KEEP, b"\x00\x01\xff"),
    "bytearray": Told(200, "", KEEP, b"\x00\x01\xff"),
    "str": Told(200, "", KEEP, "grüß".encode()),
    "dict": Told(200, "", KEEP, json.dumps({"a": 1, "b": [1, 2], "c": "ü"}, indent=2).encode()),
    "list": Told(200, "", KEEP, b"[\n  1,\n  2\n]"),
    "number": Told(200, "", KEEP, b"1.5"),
    "none": Told(200, "", KEEP, b"null"),
    "type": Told(200, "", {"content-type": "image/png", **KEEP}, b"type"),
    "header": Told(200, "", {"x-own": "yes", **KEEP}, b"header"),
    "own": Told(200, "", KEEP, b"own"),
    "status": Told(418, "teapot", CLOSE, b"status"),
    "status201": Told(201, "Made", KEEP, b"status201"),
    "nophrase": Told(404, "", CLOSE, b"nophrase"),
    "allstatus": Told(202, "All", KEEP, b"allstatus"),
}
"""What clients get for what a handler does: section 5."""

FAILURES: dict[str, tuple[int, str, dict[str, str]]] = {
    "unserializable": (
        503,
        "Unsupported model output data type.",
        {"exception": "TypeError", "text": "Object of type object is not JSON serializable"},
    ),
    "exception": (
        503,
        "Prediction failed",
        {"exception": "ValueError", "text": "something is wrong"},
    ),
    "prediction": (503, "not today", {"exception": "PredictionException", "text": "not today : 503"}),
    "prediction599": (599, "odd", {"exception": "PredictionException", "text": "odd : 599"}),
    "prediction413": (507, "too much", {"exception": "PredictionException", "text": "too much : 413"}),
    "predictiondefault": (500, "plain", {"exception": "PredictionException", "text": "plain : 500"}),
    "memory": (507, "Out of resources", {"exception": "MemoryError", "text": "no"}),
    "cuda": (507, "Out of resources", {"exception": "RuntimeError", "text": "CUDA out of memory"}),
    "nolist": (503, "Invalid model predict output", {}),
    "tuple": (503, "Invalid model predict output", {}),
    "wrongcount": (503, "number of batch response mismatched", {}),
    "forged": (500, "The handler set an illegal header: 'X-Bad'", {}),
    "illegal": (500, "The handler set an illegal header: 'X Bad'", {}),
    "big": (500, "The response of 7000000 bytes is larger than max_response_size (6553500 bytes).", {}),
}
"""The errors of section 5, with what handlers raised in additional keys."""

Refusal = tuple[int, str, str]
REFUSALS: dict[str, tuple[Ask, Refusal]] = {
    "unknown model": (Ask("/predictions/nope"), (404, "ModelNotFoundException", "Model not found: nope")),
    "no model": (Ask("/predictions"), NOT_FOUND),
    "an empty name": (Ask("/predictions/"), NOT_FOUND),
    "no route": (Ask("/nothing", method="GET"), NOT_FOUND),
    "half a route": (Ask("/models/probe"), NOT_FOUND),
    "a broken multipart": (
        Ask(body=PARTS[:60], headers=MULTIPART),
        (
            400,
            "BadRequestException",
            "The multipart body cannot be read: Unexpected end of multipart stream (parser closed)",
        ),
    ),
}
TORCHSERVE_REFUSALS: dict[str, tuple[Ask, Refusal]] = {
    "unknown version": (
        Ask("/predictions/probe/7.0"),
        (404, "ModelVersionNotFoundException", "Model version: 7.0 does not exist for model: probe"),
    ),
    "unknown version of the old route": (
        Ask("/probe/7.0/predict"),
        (404, "ModelVersionNotFoundException", "Model version: 7.0 does not exist for model: probe"),
    ),
    "no open inference protocol": (Ask("/v2", method="GET"), NOT_FOUND),
    "no workers": (
        Ask("/predictions/idle"),
        (
            503,
            "ServiceUnavailableException",
            'Model "idle" has no worker to serve inference request. Please use scale workers API to add '
            "workers. If this is a sequence inference, please check if it is closed, or expired; or exceeds "
            "maxSequenceJobQueueSize",
        ),
    ),
    "no workers of a version": (
        Ask("/predictions/idle/1.0"),
        (
            503,
            "ServiceUnavailableException",
            'Model "idle" Version 1.0" has no worker to serve inference request. Please use scale workers '
            "API to add workers. If this is a sequence inference, please check if it is closed, or expired; "
            "or exceeds maxSequenceJobQueueSize",
        ),
    ),
}
MMS_REFUSALS: dict[str, tuple[Ask, Refusal]] = {
    "explanations": (Ask("/explanations/probe"), NOT_FOUND),
    "a version in the old route": (Ask("/probe/1.0/predict"), NOT_FOUND),
    "KServe 1": (Ask("/v1/models/probe:predict"), NOT_FOUND),
    "KServe 2": (Ask("/v2/models/probe/infer"), NOT_FOUND),
    "no workers": (
        Ask("/predictions/idle"),
        (
            503,
            "ServiceUnavailableException",
            "No worker is available to serve request for model: idle. Consider increasing job queue size.",
        ),
    ),
}
BODY = {"body": {"content-type": ""}}
HEADERS: dict[str, tuple[Ask, dict[str, object]]] = {
    "prediction": (Ask.do("headers"), {**BODY, "url_path": "", "explain": "False"}),
    "path below": (
        Ask.do("headers", path="/predictions/probe/1.0/some/path"),
        {**BODY, "url_path": "some/path", "explain": "False"},
    ),
    "explanation": (
        Ask.do("headers", path="/explanations/probe/1.0/a"),
        {**BODY, "url_path": "a", "explain": "True"},
    ),
    "KServe 1": (
        Ask.do("headers", path="/v1/models/probe:explain"),
        {**BODY, "url_path": "", "explain": "True"},
    ),
    "KServe 2": (
        Ask.do("headers", path="/v2/models/probe/explain"),
        {**BODY, "url_path": "", "explain": "True"},
    ),
    "invoke": (Ask.do("headers", path="/models/probe/invoke"), BODY),
    "invocation": (
        Ask.do("headers", path="/invocations?q=1"),
        {"q": {"content-type": ""}, **BODY},
    ),
}
"""What the server adds to a request's headers, which the handler of TorchServe's dialect sees."""


class Common:
    """What both dialects' tests share."""

    maxDiff = None
    dialect: ClassVar[str]
    server: ClassVar[ServerProcess]
    escape = staticmethod(lambda text: text)

    @classmethod
    def setUpClass(cls) -> None:
        """Start one server for all."""
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)  # type: ignore[attr-defined]  # of TestCase
        properties = {
            "disable_token_authorization": "true",
            "enable_model_api": "true",
            "default_workers_per_model": "1",
            "cors_allowed_origin": "https://example.org",
            "cors_allowed_methods": "GET, POST",
            "cors_allowed_headers": "X-Do",
        }
        options = ["--dialect", cls.dialect, "--models", "probe=probe.mar"]
        cls.server = server = ServerProcess(Path(folder.name), properties, options)
        server.store.mkdir()
        for name in ("probe", "idle"):
            pack(PackRequest(name, version="1.0", handler=str(HANDLER), export_path=server.store))
        server.start()
        cls.addClassCleanup(server.end)  # type: ignore[attr-defined]
        server.register("idle.mar", initial_workers=0)
        eventually(lambda: server.predict("probe").status == 200)

    def ask(self, wanted: Ask) -> Told:
        """The answer, whose CORS headers are as they are set."""
        told = ask(self.server.ports[0], wanted)
        headers = dict(told.headers)
        allowed = [
            headers.pop(f"access-control-allow-{name}", "") for name in ("methods", "headers", "origin")
        ]
        assert allowed[:2] == ["GET, POST", "X-Do"] and allowed[2], told.headers
        return Told(told.status, told.phrase, headers, told.body)

    def check_inputs(self: Any, table: dict[str, tuple[Ask, dict[str, object]]]) -> None:
        """Compare what the handler shows of its row."""
        for name, (wanted, row) in table.items():
            with self.subTest(name):
                told = self.ask(wanted)
                self.assertEqual((told.status, told.phrase, told.headers), (200, "", KEEP), told.body)
                self.assertEqual(json.loads(told.body), row)

    def check_refusals(self: Any, table: dict[str, tuple[Ask, Refusal]]) -> None:
        """Compare errors."""
        for name, (wanted, (code, kind, message)) in table.items():
            with self.subTest(name):
                told = self.ask(wanted)
                self.assertEqual((told.status, told.headers), (code, ERROR_HEADERS))
                body = json.loads(told.body)
                self.assertEqual((body["code"], body["type"], body["message"]), (code, kind, message))

    def test_inputs(self: Any) -> None:
        self.check_inputs(INPUTS)

    def test_refusals(self: Any) -> None:
        self.check_refusals(REFUSALS)

    def test_outputs(self: Any) -> None:
        for what, told in OUTPUTS.items():
            with self.subTest(what):
                self.assertEqual(self.ask(Ask.do(what)), told)

    def test_failures(self: Any) -> None:
        # TorchServe takes this code for memory.
        own = {"prediction413": 413} if self.dialect == "mms" else {}
        for what, (torchserve_code, message, more) in FAILURES.items():
            with self.subTest(what):
                code = own.get(what, torchserve_code)
                told = self.ask(Ask.do(what))
                self.assertEqual((told.status, told.headers), (code, ERROR_HEADERS))
                body = {"code": code, "type": "InternalServerException", "message": message, **more}
                self.assertEqual(json.loads(told.body), body)

    def test_worker_lives_on_after_an_answer_that_is_too_large(self: Any) -> None:
        before = self.server.pids("probe") if self.dialect == "torchserve" else None
        self.assertEqual(self.ask(Ask.do("big")).status, 500)
        if before is not None:
            self.assertEqual(self.server.pids("probe"), before)

    def test_health(self: Any) -> None:
        for method, path in (("GET", "/ping"), ("POST", "/ping"), ("GET", "/ping/below")):
            told = self.ask(Ask(path, method=method))
            self.assertEqual((told.status, told.phrase), (200, "OK"))
            self.assertEqual(told.body, b'{\n  "status": "Healthy"\n}\n')

    def test_headers_are_found_in_whatever_case(self: Any) -> None:
        for path in ("/predictions/probe", "/invocations"):
            headers = {"X-Do": "insensitive", "X-MixedCase": "value"}
            self.assertEqual(self.ask(Ask(path, b"x", headers)).body, b"value")

    def test_header_names_keep_their_case(self: Any) -> None:
        for path in ("/predictions/probe", "/invocations"):
            headers = {"X-Do": "headers", "X-mIXed": "value"}
            shown = json.loads(self.ask(Ask(path, b"x", headers)).body)
            self.assertEqual(shown["X-mIXed"], "value")

    def test_all_values_of_a_repeated_field_are_there(self: Any) -> None:
        told = self.ask(Ask(body=PARTS, headers={**MULTIPART, "X-Do": "every"}))
        self.assertEqual(json.loads(told.body), [["str", "first"], ["str", "last"]])

    def test_request_id_is_the_handlers(self: Any) -> None:
        answer = self.server.inference("POST", "/predictions/probe", b"x", {"X-Do": "id"})
        self.assertEqual(answer.headers["x-request-id"], answer.text)
        answer = self.server.inference(
            "POST", "/predictions/probe", b"x", {"X-Do": "id", "X-Request-Id": "mine"}
        )
        self.assertNotEqual(answer.headers["x-request-id"], "mine")

    def test_cors_header_of_a_handler_is_kept(self: Any) -> None:
        told = ask(self.server.ports[0], Ask.do("cors"))
        self.assertIn("https://handler.example", told.headers["access-control-allow-origin"])

    def test_options_describe(self: Any) -> None:
        for path, title in (("/", None), ("/predictions/probe", "RESTful API for: probe")):
            told = self.ask(Ask(path, method="OPTIONS"))
            self.assertEqual(told.status, 200)
            document = json.loads(told.body)
            self.assertEqual(document["openapi"], "3.0.1")
            if title is not None:
                self.assertEqual(document["info"]["title"], title)
        self.assertEqual(self.ask(Ask("/predictions/nope", method="OPTIONS")).status, 404)

    def test_too_large_bodies(self: Any) -> None:
        body = bytes(7_000_000)
        declared = self.ask(Ask(body=body))
        chunked = self.chunked(b"%x\r\n" % len(body) + body)
        for told in (declared, chunked):
            self.assertEqual((told.status, told.headers), (413, ERROR_HEADERS))
            message = json.loads(told.body)["message"]
            self.assertEqual(message, "Request body is larger than max_request_size (6553500 bytes).")

    def test_chunked_body(self: Any) -> None:
        told = self.chunked(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        self.assertEqual(json.loads(told.body), {"body": raw("abc")})

    def chunked(self: Any, body: bytes) -> Told:
        """Send chunks to the probe, as much of them as the server wants."""
        head = b"POST /predictions/probe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        return self.raw(head + body)

    def raw(self: Any, data: bytes) -> Told:
        """Send bytes, read one answer."""
        import http.client

        with socket.create_connection(("127.0.0.1", self.server.ports[0]), LONGEST) as connection:
            try:
                connection.sendall(data)
            except OSError:
                pass  # it has answered before it had everything
            response = http.client.HTTPResponse(connection)
            response.begin()
            body = response.read()
        headers = {name.lower(): value for name, value in response.getheaders()}
        kept = {name: headers[name] for name in ("content-type", "connection") if name in headers}
        return Told(response.status, response.reason, kept, body)

    def test_expectation_is_answered(self: Any) -> None:
        head = b"POST /predictions/probe HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
        with socket.create_connection(("127.0.0.1", self.server.ports[0]), LONGEST) as connection:
            connection.sendall(head + b"Content-Length: 2\r\n\r\n")
            with connection.makefile("rb") as stream:
                self.assertTrue(stream.readline().startswith(b"HTTP/1.1 100 "))
                self.assertEqual(stream.readline(), b"\r\n")
                connection.sendall(b"hi")
                self.assertEqual(stream.readline(), b"HTTP/1.1 200 \r\n")
        self.assertEqual(self.raw(head + b"Content-Length: 7000000\r\n\r\n").status, 413)

    def test_exit_of_the_handler(self: Any) -> None:
        told = self.ask(Ask.do("exit"))
        body = json.loads(told.body)
        self.assertEqual((told.status, body["message"]), (500, "Worker died."))
        self.assertEqual(body["reason"], "exited with code 3")


class TorchServeTests(Common, TestCase):
    """TorchServe's dialect."""

    dialect = "torchserve"

    def test_inputs_of_its_own_routes(self) -> None:
        self.check_inputs(TORCHSERVE_INPUTS)

    def test_refusals_of_its_own(self) -> None:
        self.check_refusals(TORCHSERVE_REFUSALS)

    def test_added_headers(self) -> None:
        clients = {"Host", "Accept-Encoding", "Content-Length", "X-Do"}
        for name, (wanted, added) in HEADERS.items():
            with self.subTest(name):
                shown = json.loads(self.ask(wanted).body)
                self.assertEqual({key: shown[key] for key in shown.keys() - clients}, added)

    def test_fields_have_their_types_among_the_headers(self) -> None:
        told = self.ask(Ask(body=PARTS, headers={**MULTIPART, "X-Do": "headers"}))
        shown = json.loads(told.body)
        kinds = {name: value["content-type"] for name, value in shown.items() if isinstance(value, dict)}
        self.assertEqual(
            kinds,
            {
                "a": "",
                "f": "application/json",
                "t": "text/plain",
                "n": "application/octet-stream",
                "j": "",
                "d": "text/plain",
            },
        )

    def test_context(self) -> None:
        self.assertEqual(json.loads(self.ask(Ask.do("context")).body), CONTEXT)

    def test_metadata_of_the_open_inference_protocol(self) -> None:
        document = json.loads(self.ask(Ask("/v2/models/probe", method="GET")).body)
        self.assertEqual((document["name"], document["versions"]), ("probe", ["1.0"]))
        for path, is_ready in (("probe", True), ("probe/versions/1.0", True), ("idle", False)):
            document = json.loads(self.ask(Ask(f"/v2/models/{path}/ready", method="GET")).body)
            self.assertEqual(document["ready"], is_ready)


class MmsTests(Common, TestCase):
    """Multi Model Server's dialect."""

    dialect = "mms"

    def test_inputs_of_its_own_routes(self) -> None:
        self.check_inputs(MMS_INPUTS)

    def test_refusals_of_its_own(self) -> None:
        self.check_refusals(MMS_REFUSALS)

    def test_no_headers_are_added(self) -> None:
        shown = json.loads(self.ask(Ask.do("headers")).body)
        self.assertEqual(shown.keys(), {"Host", "Accept-Encoding", "Content-Length", "X-Do", "body"})
