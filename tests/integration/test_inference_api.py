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
from tests.integration.inference_rows import (
    CONTEXT,
    ERROR_HEADERS,
    FAILURES,
    HEADERS,
    INPUTS,
    KEEP,
    MMS_INPUTS,
    MMS_REFUSALS,
    OUTPUTS,
    REFUSALS,
    TORCHSERVE_INPUTS,
    TORCHSERVE_REFUSALS,
    Refusal,
    raw,
)
from tests.peers.probe_requests import HANDLER, MULTIPART, PARTS, Ask, Told, ask

pytestmark = pytest.mark.xdist_group("inference_api")


class Common:
    """What both dialects' tests share."""

    maxDiff: int | None = None
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

    def chunked(self, body: bytes) -> Told:
        """Send chunks to the probe, as much of them as the server wants."""
        head = b"POST /predictions/probe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        return self.raw(head + body)

    def raw(self, data: bytes) -> Told:
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
        kept: dict[str, str] = {
            name: headers[name] for name in ("content-type", "connection") if name in headers
        }
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
