"""
The management API as clients see it: the rows of the reference, in both dialects.

Better than the peers, and so other rows than theirs: numbers out of range, bad JSON and empty JSON bodies are
400 (there 500, or accepted); the same URL again is 409 (there 500); no page token when there is no next page;
a ready model has a worker that has loaded; what is wrong in an archive is 400.
"""

from __future__ import annotations

from uuid import UUID

from tests.harness.management_api import ID, ApiCase


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

    def test_preflight_gets_the_headers_and_nothing_else(self) -> None:
        allowed = (
            (b"access-control-allow-origin", b"https://app.example"),
            (b"access-control-allow-methods", b"POST, PUT"),
        )
        self.serve(cors=allowed)
        self.gate.key = b"Bearer key"  # a browser cannot send one
        asks = {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}
        for path in ("/", "/models", "/models/other", "/nothing"):
            got = self.call("OPTIONS", path, headers=asks)
            self.assertEqual((got.code, got.raw), (200, b""), path)
            for name, value in allowed:
                self.assertEqual(got.headers.getRawHeaders(name), [value])
            self.assertFalse(got.headers.hasHeader("content-type"))
        self.assertEqual(self.gate.asked, [])

    def test_what_is_no_preflight_is_answered_as_ever(self) -> None:
        for method, headers in (
            ("OPTIONS", {"Origin": "https://app.example"}),
            ("OPTIONS", {"Access-Control-Request-Method": "PUT"}),
            ("GET", {"Origin": "https://app.example", "Access-Control-Request-Method": "PUT"}),
        ):
            self.assertEqual(self.call(method, "/nothing", headers=headers).code, 404)
