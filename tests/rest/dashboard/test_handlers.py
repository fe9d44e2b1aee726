"""The routes of the dashboard: files, headers, keys, pages of other origins, and what the page asks for."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import AccessDenied
from modelserver.interfaces import Dialect
from modelserver.jobs import Answer
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.spec import WorkerFailure
from tests.harness.dashboard import LISTENER, DashboardStage

PRIVATE = (
    ("GET", "/dashboard/stream"),
    ("GET", "/dashboard/store"),
    ("GET", "/dashboard/configuration"),
    ("GET", "/dashboard/versions/noop/1.0"),
    ("POST", "/dashboard/predictions/noop/1.0"),
)
FOREIGN: tuple[dict[str, str], ...] = (
    {"Origin": "http://evil.example", "Sec_Fetch_Site": "cross-site"},
    {"Origin": "http://localhost:3000", "Sec_Fetch_Site": "same-site"},
    {"Host": "evil.example"},
)
OWN = {"Origin": f"http://{LISTENER}", "Sec_Fetch_Site": "same-origin"}


class OneKey:
    """Lets a request pass that has the right key; the key can be changed."""

    key = b"Bearer right"

    def check(self, kind: str, authorization: bytes | None) -> None:
        """Refuse others."""
        if (kind, authorization) != ("management", self.key):
            raise AccessDenied()


class FileTests(SynchronousTestCase):
    """The page and its files."""

    def setUp(self) -> None:
        self.on = DashboardStage()

    def test_the_page_is_protected(self) -> None:
        for path in ("/dashboard", "/dashboard/", "/dashboard/assets/app.js", "/dashboard/store"):
            headers = self.on.get(path).headers
            policy = headers["content-security-policy"].split("; ")
            for rule in (
                "default-src 'none'",
                "script-src 'self'",
                "style-src 'self'",
                "frame-ancestors 'none'",
            ):
                self.assertIn(rule, policy)
            self.assertNotIn("unsafe", headers["content-security-policy"])
            self.assertEqual(headers["x-frame-options"], "DENY")
            self.assertEqual(headers["x-content-type-options"], "nosniff")
            self.assertNotIn("set-cookie", headers)
            self.assertNotIn("access-control-allow-origin", headers)

    def test_types(self) -> None:
        for path, wanted in (
            ("", "text/html; charset=utf-8"),
            ("/assets/app.js", "text/javascript; charset=utf-8"),
            ("/assets/style.css", "text/css; charset=utf-8"),
            ("/assets/icon.svg", "image/svg+xml"),
            ("/assets/uPlot.LICENSE.txt", "text/plain; charset=utf-8"),
        ):
            got = self.on.get(f"/dashboard{path}")
            self.assertEqual((got.status, got.headers["content-type"]), (200, wanted))
            self.assertEqual(len(got.body), int(got.headers["content-length"]))

    def test_a_browser_asks_whether_it_has_the_file_still(self) -> None:
        first = self.on.get("/dashboard")
        self.assertEqual(first.headers["cache-control"], "no-cache")
        tag = first.headers["etag"]
        for known in (tag, f'"other", W/{tag}', "*"):
            got = self.on.get("/dashboard", If_None_Match=known)
            self.assertEqual((got.status, got.body, got.headers["etag"]), (304, b"", tag))
        self.assertEqual(self.on.get("/dashboard", If_None_Match='"other"').status, 200)

    def test_there_is_no_other_file(self) -> None:
        for path in ("nothing.js", "..%2Fhandlers.py", "vendor", "vendor%2FuPlot.min.css", "%2e%2e", ""):
            self.assertEqual(self.on.get(f"/dashboard/assets/{path}").status, 404, path)

    def test_what_is_served_today_at_the_root_stays(self) -> None:
        for dialect in (TorchServe(), MultiModelServer()):
            with self.subTest(dialect=dialect.name):
                self.check_root(dialect)

    def check_root(self, dialect: Dialect) -> None:
        on = DashboardStage(dialect=dialect)
        self.assertEqual(on.get("/", "OPTIONS").json()["openapi"], "3.0.1")
        for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
            got = on.get("/", **headers)
            self.assertEqual((got.status, got.headers["allow"], got.json()["code"]), (405, "OPTIONS", 405))
        got = on.get("/", Accept="text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")
        self.assertEqual((got.status, got.headers["location"]), (302, "/dashboard"))
        self.assertEqual(on.get("/", "POST", Accept="text/html").status, 405)

    def test_without_the_feature_there_are_no_routes(self) -> None:
        on = DashboardStage(features=())
        for path in ("/dashboard", "/dashboard/stream", "/dashboard/assets/app.js"):
            self.assertEqual(on.get(path).status, 404)
        got = on.get("/", Accept="text/html")
        self.assertEqual((got.status, got.headers["allow"]), (405, "OPTIONS"))


class AccessTests(SynchronousTestCase):
    """Who may look, and who may do something."""

    def test_without_the_key_there_is_only_the_empty_page(self) -> None:
        on = DashboardStage(gate=OneKey(), has_guard=False)
        on.add()
        self.assertEqual(on.get("/dashboard").status, 200)
        for method, path in PRIVATE:
            for headers in ({}, {"Authorization": "Bearer wrong"}):
                got = on.get(path, method, **headers)
                self.assertEqual((got.status, got.json()["type"]), (400, "InvalidKeyException"), path)
        self.assertEqual(on.get("/dashboard/store?token=right").status, 400)
        self.assertEqual(on.get("/dashboard/store", Authorization="Bearer right").status, 200)

    def test_a_stream_ends_with_its_key(self) -> None:
        gate = OneKey()
        on = DashboardStage(gate=gate, has_guard=False)
        page = on.watch(Authorization="Bearer right")
        on.stage.clock.advance(1.0)
        self.assertEqual(len(page.events()), 2)
        gate.key = b"Bearer renewed"
        on.stage.clock.advance(1.0)
        self.assertEqual(len(page.events()), 2)
        self.assertTrue(page.transport.value().endswith(b"0\r\n\r\n"))

    def test_pages_of_other_origins_are_refused_without_tokens(self) -> None:
        on = DashboardStage()
        on.add()
        for method, path in PRIVATE:
            for headers in FOREIGN:
                got = on.get(path, method, **headers)
                self.assertEqual(
                    (got.status, got.json()["type"]), (403, "ForbiddenException"), (path, headers)
                )
        self.assertEqual(on.viewers.viewers, [])

    def test_the_own_page_is_let_in(self) -> None:
        on = DashboardStage()
        on.add()
        for method, path in PRIVATE[:4]:
            self.assertEqual(on.get(path, method, **OWN).status, 200)
        page = on.ask("POST", "/dashboard/predictions/noop/1.0", b"x", **OWN)
        on.last_worker.answer()
        on.stage.turn()
        self.assertEqual(page.answer().status, 200)


class QuestionTests(SynchronousTestCase):
    """What the page asks for beside the stream."""

    def setUp(self) -> None:
        self.store = Path(self.mktemp())
        self.store.mkdir(parents=True)
        self.on = DashboardStage(self.store)
        self.on.add()

    def test_the_head_of_the_stream_is_no_stream(self) -> None:
        got = self.on.get("/dashboard/stream", "HEAD")
        self.assertEqual((got.status, got.headers["content-type"]), (200, "text/event-stream"))
        self.assertEqual(self.on.viewers.viewers, [])

    def test_archives_of_the_store(self) -> None:
        for name in ("b.mar", "a.tar.gz", ".half.mar", "notes.txt"):
            (self.store / name).touch()
        (self.store / "folder" / "MAR-INF").mkdir(parents=True)
        (self.store / "other").mkdir()
        self.assertEqual(
            self.on.get("/dashboard/store").json(), {"archives": ["a.tar.gz", "b.mar", "folder"]}
        )

    def test_no_store_has_no_archives(self) -> None:
        for store in (None, self.store / "gone"):
            self.assertEqual(DashboardStage(store).get("/dashboard/store").json(), {"archives": []})

    def test_the_configuration(self) -> None:
        self.assertEqual(
            self.on.get("/dashboard/configuration").json(),
            {"keys": [["job_queue_size", "7", "command line", "Jobs that may wait."]]},
        )

    def test_a_version_with_its_failures(self) -> None:
        failure = WorkerFailure(
            "load",
            7.0,
            exception="ImportError",
            text="<b>",
            traceback=("one", "two"),
            stderr=("<i>",),
            permanent=True,
        )
        self.on.last_worker.exit(failure)
        self.on.stage.turn()
        got = self.on.get("/dashboard/versions/noop/1.0").json()
        ((_, shown),) = got["failures"].items()
        self.assertEqual(
            (shown["traceback"], shown["stderr"], shown["permanent"], shown["at"]),
            (["one", "two"], ["<i>"], True, 7.0),
        )
        self.assertIn("ImportError: <b>", shown["text"])
        self.assertEqual(got["settings"]["queue"]["jobs"], 100)

    def test_sizes_of_batches_and_the_last_minutes(self) -> None:
        self.on.serve(3)
        self.on.stage.clock.advance(5.0)
        got = self.on.get("/dashboard/versions/noop/1.0").json()
        self.assertEqual(dict(zip(got["sizes"], got["batches"], strict=False))[1.0], 3)
        self.assertEqual([step[1] for step in got["chart"]], [0.6])

    def test_a_version_that_is_not_there(self) -> None:
        for path in ("versions/nobody/1.0", "versions/noop/9"):
            self.assertEqual(self.on.get(f"/dashboard/{path}").status, 404)
            self.assertEqual(
                self.on.get("/dashboard/" + path.replace("versions", "predictions"), "POST").status, 404
            )

    def test_a_prediction_reaches_the_version_without_the_pages_key(self) -> None:
        page = self.on.ask(
            "POST",
            "/dashboard/predictions/noop/1.0",
            b'{"a": 1}',
            Content_Type="application/json",
            Authorization="Bearer secret",
            Cookie="a=b",
        )
        ((_, (job,)),) = self.on.last_worker.batches
        self.assertEqual(job.request.body, b'{"a": 1}')
        self.assertEqual(job.request.header_block, b"content-type: application/json\r\n")
        self.on.last_worker.answer(Answer(200, b"content-type: image/png\r\n", b"\x89PNG"))
        self.on.stage.turn()
        got = page.answer()
        self.assertEqual((got.status, got.body), (200, b"\x89PNG"))
        self.assertEqual(got.headers["x-content-type-options"], "nosniff")

    def test_a_prediction_whose_page_has_left_is_withdrawn(self) -> None:
        for _ in range(3):
            page = self.on.ask("POST", "/dashboard/predictions/noop/1.0", b"x")
        version = self.on.registry.get("noop")
        waiting = version.queue.waiting + version.pool.jobs_ahead
        page.leave()
        self.on.stage.turn()
        self.assertEqual(version.queue.waiting + version.pool.jobs_ahead, waiting - 1)

    def test_json_has_no_markup_to_trust(self) -> None:
        self.on.add("<script>")
        ((_, state),) = self.on.watch().events()
        self.assertIn("<script>/1.0", state["models"])
        self.assertEqual(json.loads(json.dumps(state)), state)
