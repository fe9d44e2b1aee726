"""metrics.yaml: what is accepted, what is refused, and what the packaged file declares."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from textwrap import dedent

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declaration_files import DeclarationError, load, load_or_none, parse
from modelserver.metrics.declarations import COUNTER, GAUGE, HISTOGRAM, Declaration, Declarations
from modelserver.metrics.default_declarations import DEFAULT, OF_MULTI_MODEL_SERVER

HOST = ("Level", "Hostname")
INFERENCE = ("model_name", "model_version", "hostname")
GPU = ("Level", "DeviceId", "Hostname")

BUILT_IN = {
    Declaration("Requests2XX", COUNTER, "Count", HOST),
    Declaration("Requests4XX", COUNTER, "Count", HOST),
    Declaration("Requests5XX", COUNTER, "Count", HOST),
    Declaration("ts_inference_requests_total", COUNTER, "Count", INFERENCE),
    Declaration("ts_inference_latency_microseconds", COUNTER, "Microseconds", INFERENCE),
    Declaration("ts_queue_latency_microseconds", COUNTER, "Microseconds", INFERENCE),
    Declaration("QueueTime", GAUGE, "Milliseconds", HOST),
    Declaration("WorkerThreadTime", GAUGE, "Milliseconds", HOST),
    Declaration("WorkerLoadTime", GAUGE, "Milliseconds", ("WorkerName", *HOST)),
    Declaration("CPUUtilization", GAUGE, "Percent", HOST),
    Declaration("MemoryUsed", GAUGE, "Megabytes", HOST),
    Declaration("MemoryAvailable", GAUGE, "Megabytes", HOST),
    Declaration("MemoryUtilization", GAUGE, "Percent", HOST),
    Declaration("DiskUsage", GAUGE, "Gigabytes", HOST),
    Declaration("DiskAvailable", GAUGE, "Gigabytes", HOST),
    Declaration("DiskUtilization", GAUGE, "Percent", HOST),
    Declaration("GPUMemoryUtilization", GAUGE, "Percent", GPU),
    Declaration("GPUMemoryUsed", GAUGE, "Megabytes", GPU),
    Declaration("GPUUtilization", GAUGE, "Percent", GPU),
}


def document(text: str) -> str:
    return dedent(text)


class DeclarationsTests(SynchronousTestCase):
    """Every entry needs a name, a unit, dimensions and a known type."""

    def refusal(self, text: str) -> str:
        return str(self.assertRaises(DeclarationError, parse, document(text)))

    def test_packaged_file_declares_the_built_in_metrics(self) -> None:
        declared = load()
        self.assertEqual(set(declared.server), BUILT_IN)
        self.assertEqual(
            {(each.name, each.kind, each.unit, each.dimensions) for each in declared.model},
            {
                ("HandlerTime", GAUGE, "ms", ("ModelName", "Level", "Hostname")),
                ("PredictionTime", GAUGE, "ms", ("ModelName", "Level", "Hostname")),
            },
        )

    def test_dimensions_may_be_anchors(self) -> None:
        declared = parse(
            document("""
            dimensions:
              - &level "Level"
            ts_metrics:
              histogram:
                - {name: QueueTime, unit: Milliseconds, dimensions: [*level, Hostname]}
            """)
        )
        self.assertEqual(
            declared.server, (Declaration("QueueTime", HISTOGRAM, "Milliseconds", ("Level", "Hostname")),)
        )

    def test_host_name_is_added_to_model_metrics(self) -> None:
        declared = parse("model_metrics: {counter: [{name: Hits, unit: Count, dimensions: [ModelName]}]}")
        self.assertEqual(declared.model[0].dimensions, ("ModelName", "Hostname"))

    def test_empty_name(self) -> None:
        text = self.refusal("ts_metrics: {counter: [{name: '', unit: Count, dimensions: [Level]}]}")
        self.assertEqual(text, "Metric name cannot be empty. name: , unit: Count, dimensions: ['Level']")

    def test_empty_unit(self) -> None:
        text = self.refusal("model_metrics: {gauge: [{name: Size, unit: '', dimensions: [Level]}]}")
        self.assertTrue(text.startswith("Metric unit cannot be empty. name: Size"), text)

    def test_missing_dimensions(self) -> None:
        text = self.refusal("model_metrics: {gauge: [{name: Size, unit: MB}]}")
        self.assertTrue(text.startswith("Metric dimensions must be a list."), text)

    def test_empty_dimension(self) -> None:
        text = self.refusal("model_metrics: {gauge: [{name: Size, unit: MB, dimensions: [A, '']}]}")
        self.assertTrue(text.startswith("Metric dimension cannot be empty."), text)

    def test_unknown_type(self) -> None:
        text = self.refusal("ts_metrics: {summary: [{name: A, unit: MB, dimensions: []}]}")
        self.assertEqual(text, "ts_metrics has an unknown metric type: summary")

    def test_same_name_twice(self) -> None:
        text = self.refusal("""
            ts_metrics:
              counter: [{name: A, unit: MB, dimensions: [H]}]
              gauge: [{name: A, unit: MB, dimensions: [H]}]
            """)
        self.assertEqual(text, "ts_metrics declares A twice.")

    def test_wrong_shapes(self) -> None:
        for text in ("- a", "ts_metrics: [a]", "ts_metrics: {gauge: a}", "ts_metrics: {gauge: [a]}", "a: ["):
            self.refusal(text)

    def test_empty_sections_declare_nothing(self) -> None:
        self.assertEqual(parse("ts_metrics:\nmodel_metrics: {counter: }"), Declarations())


class LoadTests(SynchronousTestCase):
    """A bad file is told once, and leaves the server without metrics."""

    def test_missing_file(self) -> None:
        missing = Path(mkdtemp()) / "metrics.yaml"
        self.assertRaises(DeclarationError, load, missing)
        with capturedLogs() as events:
            self.assertEqual(load_or_none(missing), Declarations())
        self.assertEqual(events[0]["log_level"], LogLevel.error)
        self.assertTrue(events[0]["log_format"].startswith("Failed to load metrics configuration: "))

    def test_file_that_is_not_text(self) -> None:
        path = Path(mkdtemp()) / "metrics.yaml"
        path.write_bytes(b"\xff\xfe\x00")
        self.assertRaises(DeclarationError, load, path)

    def test_good_file(self) -> None:
        self.assertEqual(load_or_none(), load())

    def test_the_server_has_what_the_packaged_file_says(self) -> None:
        self.assertEqual(load(), DEFAULT)

    def test_multi_model_server_measures_requests_and_host_only(self) -> None:
        declared = OF_MULTI_MODEL_SERVER
        self.assertEqual(len(declared.server), 10)
        self.assertEqual(declared.model, ())
        self.assertNotIn("QueueTime", {each.name for each in declared.server})
