"""The metrics listener as a scraper sees it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import AccessDenied
from modelserver.metrics.declaration_files import load
from modelserver.metrics.recorder import PROMETHEUS, MetricsInputs, MetricsRecorder, MetricsSettings
from modelserver.rest.api import Api
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.metrics import MetricsApi
from modelserver.rest.metrics_routes import METRICS_ROUTES
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.testing.providers import START_OF_TIME, make_job

ID = "01234567-89ab-cdef-0123-456789abcdef"
QUEUE_TIME = (
    b"# HELP QueueTime Torchserve prometheus gauge metric with unit: Milliseconds\n"
    b"# TYPE QueueTime gauge\n"
    b'QueueTime{Level="Host",Hostname="vm",} 62.0\n'
)


class ClosedGate:
    """Lets nobody pass."""

    def check(self, kind: str, authorization: bytes | None) -> None:
        """Refuse."""
        raise AccessDenied()


class MetricsRestTests(SynchronousTestCase):
    """/metrics and what is below it answer every method, without a key."""

    def setUp(self) -> None:
        inputs = MetricsInputs(
            lambda: START_OF_TIME, lambda: [], lambda name: True, lambda line: None, lambda line: None
        )
        self.instruments = MetricsRecorder(MetricsSettings(load(), PROMETHEUS, hostname="vm"), inputs)
        self.instruments.request_arrived("noop", None)
        self.instruments.batches_finished("noop", "1.0", 1, 1, 0.25, 0.375)
        job = make_job()
        job.assigned = 0.0625
        self.instruments.jobs_finished("noop", "1.0", [job], 0.5)
        self.instruments.answered(200)
        self.serve(self.instruments.pieces)

    def serve(self, scrape: object) -> None:
        responder = KleinResponder(TorchServe(), lambda: ID)
        self.turns: list[Callable[[], None]] = []
        front = MetricsApi(scrape, responder, self.turns.append)  # type: ignore[arg-type]
        self.client: Any = StubTreq(
            Api(
                Descriptions(METRICS_ROUTES, "torchserve"), front.operations(), ClosedGate(), responder
            ).resource()
        )

    def body(self, method: str, path: str, code: int = 200) -> bytes:
        asked = self.client.request(method, f"http://localhost{path}")
        while self.turns:
            self.turns.pop()()
            self.client.flush()
        response = self.successResultOf(asked)
        self.assertEqual(response.code, code)
        self.headers = response.headers
        body = self.successResultOf(response.content())
        assert isinstance(body, bytes)
        return body

    def test_everything_without_a_name(self) -> None:
        body = self.body("GET", "/metrics")
        self.assertEqual(body, self.instruments.scrape())
        names = {family.name for family in text_string_to_metric_families(body.decode())}
        self.assertLessEqual({"QueueTime", "Requests2XX", "modelserver_queue_seconds"}, names)

    def test_headers(self) -> None:
        self.body("GET", "/metrics?name[]=QueueTime")
        for name, value in (
            ("content-type", "text/plain; version=0.0.4; charset=utf-8"),
            ("x-request-id", ID),
            ("cache-control", "no-cache; no-store, must-revalidate, private"),
        ):
            self.assertEqual(self.headers.getRawHeaders(name), [value])

    def test_any_method_and_any_path_below(self) -> None:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            for path in ("/metrics", "/metrics/", "/metrics/a/b"):
                self.assertEqual(self.body(method, f"{path}?name[]=QueueTime"), QUEUE_TIME, (method, path))
        self.assertEqual(self.body("HEAD", "/metrics"), b"")

    def test_names_may_be_repeated_and_quoted(self) -> None:
        body = self.body("GET", "/metrics?name%5B%5D=QueueTime&name[]=modelserver_queue_seconds_count")
        self.assertTrue(body.startswith(QUEUE_TIME))
        self.assertEqual(
            body.decode().splitlines()[-1], 'modelserver_queue_seconds_count{model="noop",version="1.0",} 1.0'
        )

    def test_unknown_name(self) -> None:
        self.assertEqual(self.body("GET", "/metrics?name[]=nosuch&name[]=%ff"), b"")

    def test_other_parameters_are_ignored(self) -> None:
        self.assertEqual(self.body("GET", "/metrics?names=QueueTime"), self.instruments.scrape())

    def test_other_paths(self) -> None:
        for path in ("/", "/metricsfoo", "/nosuch"):
            self.assertIn(b"ResourceNotFoundException", self.body("GET", path, 404))

    def test_failure_of_a_scrape(self) -> None:
        def broken(names: Collection[str]) -> Iterable[bytes]:
            raise ZeroDivisionError

        self.serve(broken)
        self.assertIn(b"InternalServerException", self.body("GET", "/metrics", 500))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
