"""What handlers emit: what is kept, what is not, and how it is matched with its declaration."""

from __future__ import annotations

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declarations import COUNTER, GAUGE, HISTOGRAM, Declaration
from modelserver.metrics.exposition import render
from modelserver.metrics.handler_metrics import MOST_METRICS, EmittedMetrics, labels_for, read
from modelserver.metrics.log_lines import MetricLine, MetricLog, as_text

MODEL = [["ModelName", "noop"], ["Level", "Model"]]
HITS = Declaration("Hits", COUNTER, "Count", ("ModelName", "Level", "Hostname"))
SPREAD = Declaration("Spread", HISTOGRAM, "ms", ("ModelName", "Level", "Hostname"))


def record(**changes: object) -> dict[str, object]:
    return {
        "name": "Hits",
        "value": 2,
        "unit": "count",
        "type": "counter",
        "dimensions": MODEL,
        "request_id": "r1",
        "timestamp": 1795317843.9,
        **changes,
    }


class ReadTests(SynchronousTestCase):
    """A record of a worker's frame is checked before it is used."""

    def test_units_get_their_long_names(self) -> None:
        for unit, shown in (
            ("ms", "Milliseconds"),
            ("count", "Count"),
            ("", "unit"),
            ("images/s", "images/s"),
        ):
            emitted = read(record(unit=unit))
            assert emitted is not None
            self.assertEqual(emitted.unit, shown)

    def test_type_may_be_in_capitals(self) -> None:
        emitted = read(record(type="GAUGE"))
        assert emitted is not None
        self.assertEqual(emitted.kind, GAUGE)

    def test_what_is_refused(self) -> None:
        for changes in (
            {"name": None},
            {"name": "a|b"},
            {"name": "a\nb"},
            {"name": ""},
            {"value": None},
            {"value": float("nan")},
            {"value": float("inf")},
            {"unit": "a:b"},
            {"type": "summary"},
            {"dimensions": 3},
            {"dimensions": [["a"]]},
            {"dimensions": [3]},
        ):
            self.assertIsNone(read(record(**changes)), changes)


class LabelsTests(SynchronousTestCase):
    """Dimensions are matched by name, or by position where the names are others."""

    def test_by_name(self) -> None:
        self.assertEqual(labels_for(HITS, [("Level", "Model"), ("ModelName", "noop")]), ("noop", "Model"))

    def test_by_position(self) -> None:
        self.assertEqual(labels_for(HITS, [("Other", "x"), ("Level", "Model")]), ("x", "Model"))
        self.assertEqual(labels_for(HITS, [("Level", "a"), ("Level", "b")]), ("a", "b"))

    def test_wrong_number(self) -> None:
        self.assertIsNone(labels_for(HITS, [("ModelName", "noop")]))


class LoggedTests(SynchronousTestCase):
    """In the log each value has its line, with its request."""

    def setUp(self) -> None:
        self.lines: list[MetricLine] = []

    def metrics(self, auto_detect: bool = False) -> EmittedMetrics:
        metrics = EmittedMetrics(MetricLog("vm", lambda: 5.0, self.lines.append), auto_detect)
        metrics.declare([HITS])
        return metrics

    def texts(self) -> list[str]:
        return [as_text(line) for line in self.lines]

    def test_declared_metric(self) -> None:
        self.metrics().record([record(), record(value=3, request_id="r2,r3")])
        self.assertEqual(
            self.texts(),
            [
                "Hits.Count:2.0|#ModelName:noop,Level:Model|#hostname:vm,requestID:r1,timestamp:1795317843",
                "Hits.Count:3.0|#ModelName:noop,Level:Model|#hostname:vm,requestID:r2,r3,timestamp:1795317843",
            ],
        )

    def test_undeclared_metric_is_not_kept(self) -> None:
        self.metrics().record([record(name="Other")])
        self.assertEqual(self.lines, [])

    def test_undeclared_metric_is_detected(self) -> None:
        self.metrics(auto_detect=True).record(
            [record(name="My Time", unit="ms", timestamp=None, request_id="")]
        )
        self.assertEqual(
            self.texts(), ["My Time.Milliseconds:2.0|#ModelName:noop,Level:Model|#hostname:vm,timestamp:5"]
        )

    def test_times_of_a_profile_need_no_declaration(self) -> None:
        self.metrics().record([record(name="ts_handler_inference", value=1.5, unit="ms", type="gauge")])
        self.assertEqual(
            self.texts(),
            [
                "ts_handler_inference.Milliseconds:1.5|#ModelName:noop,Level:Model"
                "|#hostname:vm,requestID:r1,timestamp:1795317843"
            ],
        )

    def test_text_of_an_error(self) -> None:
        self.metrics(auto_detect=True).record([record(name="Failure", value="went wrong", dimensions=[])])
        self.assertEqual(self.lines[0].value, "went wrong")

    def test_bad_records_are_told_once_by_name(self) -> None:
        metrics = self.metrics()
        with capturedLogs() as events:
            metrics.record([record(value=None), record(value=None), record(dimensions=[])])
            metrics.record([record()])
        self.assertEqual(len(self.lines), 1)
        self.assertEqual(len(events), 1)
        self.assertIn("Failed to parse metrics line", events[0]["log_format"])

    def test_wrong_dimensions_are_told(self) -> None:
        with capturedLogs() as events:
            self.metrics().record([record(dimensions=[["a", "b"]])])
        self.assertEqual(self.lines, [])
        self.assertIn("has dimensions", events[0]["log_format"])

    def test_number_of_detected_metrics_is_bounded(self) -> None:
        metrics = self.metrics(auto_detect=True)
        metrics.record(record(name=f"m{number}") for number in range(MOST_METRICS + 7))
        self.assertEqual(len(metrics.declared), MOST_METRICS)
        self.assertEqual(len(self.lines), MOST_METRICS - 1)


class ExposedTests(SynchronousTestCase):
    """At the endpoint counters add up, gauges are set, histograms observe."""

    def metrics(self) -> EmittedMetrics:
        metrics = EmittedMetrics(MetricLog("vm", lambda: 5.0, self.fail), True)
        metrics.expose(frozenset({"QueueTime"}))
        metrics.declare([HITS, SPREAD])
        return metrics

    def samples(self, metrics: EmittedMetrics) -> list[str]:
        text = render(metrics.exposed("vm")).decode()
        return [line for line in text.splitlines() if not line.startswith("#") and " 0.0" not in line]

    def test_types(self) -> None:
        metrics = self.metrics()
        for value in (2, 3):
            metrics.record(
                [
                    record(value=value),
                    record(name="Level1", type="gauge", value=value, dimensions=[]),
                    record(name="Spread", type="histogram", value=8 + value, dimensions=MODEL),
                ]
            )
        labels = 'ModelName="noop",Level="Model",Hostname="vm",'
        self.assertEqual(
            self.samples(metrics),
            [
                f"Hits{{{labels}}} 5.0",
                f'Spread_bucket{{{labels}le="10.0",}} 1.0',
                f'Spread_bucket{{{labels}le="+Inf",}} 2.0',
                f"Spread_count{{{labels}}} 2.0",
                f"Spread_sum{{{labels}}} 21.0",
                'Level1{Hostname="vm",} 3.0',
            ],
        )

    def test_what_prometheus_cannot_take_is_told_and_left_out(self) -> None:
        metrics = self.metrics()
        with capturedLogs() as events:
            metrics.declare([Declaration("a b", GAUGE, "ms", ("Hostname",))])
            for _ in range(2):
                names = ("My Time", "QueueTime", "modelserver_workers")
                metrics.record([*(record(name=name) for name in names), record(value="text")])
        self.assertEqual(self.samples(metrics), [])
        self.assertEqual([event["metric"] for event in events], ["a b", *names])

    def test_names_of_one_metric_are_no_other_ones(self) -> None:
        cases = (
            (("Spread_sum", GAUGE), "Spread"),
            (("Spread_count", COUNTER), "Spread"),
            (("Spread_bucket", GAUGE), "Spread"),
            (("Hits_total", COUNTER), "Hits"),
            (("QueueTime_total", COUNTER), "the server's QueueTime"),
        )
        for (name, kind), owner in cases:
            metrics = self.metrics()
            with capturedLogs() as events:
                metrics.record([record(name=name, type=kind)])
            (event,) = events
            self.assertEqual((event["metric"], event["problem"].endswith(f"as {owner} has")), (name, True))
            self.assertNotIn(name, metrics.declared)

    def test_histogram_comes_behind_a_metric_of_its_sums_name(self) -> None:
        metrics = self.metrics()
        metrics.record([record(name="h_sum")])
        with capturedLogs() as events:
            metrics.record([record(name="h", type=HISTOGRAM)])
        self.assertIn("h_sum", events[0]["problem"])

    def test_prediction_time_can_be_set_from_outside(self) -> None:
        metrics = self.metrics()
        update = metrics.update("Hits")
        assert update is not None
        update(("noop", "Model"), 4)
        self.assertEqual(self.samples(metrics), ['Hits{ModelName="noop",Level="Model",Hostname="vm",} 4.0'])
        self.assertIsNone(metrics.update("nosuch"))
