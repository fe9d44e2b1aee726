"""What the endpoint shows of workflows and their nodes."""

from __future__ import annotations

from unittest import TestCase

from tests.harness.metrics import Server


class WorkflowTests(TestCase):
    """Requests by outcome, and the calls of nodes with their times."""

    def setUp(self) -> None:
        self.server = Server()
        self.recorder = self.server.instruments
        for outcome, seconds in (("answered", 0.5), ("answered", 0.25), ("handler", 2.0)):
            self.recorder.workflow_ended("w", outcome, seconds)
        self.recorder.node_called("w", "a", "answered", 0.5, 0.125)
        self.recorder.node_called("w", "a", "job_queue_size", None, None)

    def scraped(self, *names: str) -> list[str]:
        return self.server.scrape(*(f"modelserver_workflow_{name}" for name in names))

    def test_requests(self) -> None:
        self.assertEqual(
            [
                'modelserver_workflow_requests_total{workflow="w",outcome="answered",} 2.0',
                'modelserver_workflow_requests_total{workflow="w",outcome="handler",} 1.0',
            ],
            self.scraped("requests_total"),
        )
        self.assertEqual(
            ['modelserver_workflow_request_seconds_sum{workflow="w",} 2.75'],
            self.scraped("request_seconds_sum"),
        )

    def test_calls_that_were_refused_have_no_time(self) -> None:
        self.assertEqual(
            [
                'modelserver_workflow_node_calls_total{workflow="w",node="a",outcome="answered",} 1.0',
                'modelserver_workflow_node_calls_total{workflow="w",node="a",outcome="job_queue_size",} 1.0',
                'modelserver_workflow_node_seconds_count{workflow="w",node="a",} 1.0',
                'modelserver_workflow_node_queue_seconds_sum{workflow="w",node="a",} 0.125',
            ],
            self.scraped("node_calls_total", "node_seconds_count", "node_queue_seconds_sum"),
        )

    def test_workflow_that_is_gone_is_told_of_once_more(self) -> None:
        self.recorder.workflow_ended("other", "answered", 1.0)
        self.recorder.workflow_gone("w")
        self.assertEqual(3, len(self.scraped("requests_total")))
        self.assertEqual(
            ['modelserver_workflow_requests_total{workflow="other",outcome="answered",} 1.0'],
            self.scraped("requests_total"),
        )
        self.assertEqual([], self.scraped("node_calls_total", "node_seconds_sum", "node_queue_seconds_sum"))

    def test_workflow_that_is_there_again_keeps_its_numbers(self) -> None:
        self.recorder.workflow_gone("w")
        self.recorder.workflow_ended("w", "answered", 1.0)
        for _ in range(3):
            self.assertIn(
                'modelserver_workflow_requests_total{workflow="w",outcome="answered",} 3.0',
                self.scraped("requests_total"),
            )
