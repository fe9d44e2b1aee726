"""Metrics that no context has: of a handler's own making, or in its tests."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context
from modelserver.child.handler_tests.service import emit_metrics
from modelserver.child.metrics import unowned
from modelserver.child.metrics.caching import CachingMetric
from modelserver.child.metrics.mms import Metric
from modelserver.child.metrics.old_store import OldMetric, OldMetricsStore
from modelserver.child.metrics.torchserve import HandlerMetrics
from modelserver.child.metrics.types import (
    Dimension,
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
)
from modelserver.child.metrics.yaml_cache import MetricsCacheYamlImpl
from tests.harness.handler_metrics import drained

DECLARED = """
ts_metrics: {counter: []}
model_metrics:
  counter:
    - {name: seen, unit: count, dimensions: [ModelName]}
  gauge:
    - {name: sizes, unit: B, dimensions: [Kind]}
"""


class UnownedTestCase(SynchronousTestCase):
    """As in a process that is no worker; keeps the lines."""

    def setUp(self) -> None:
        unowned.release()
        self.lines: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.lines.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("ts.metrics.caching_metric")
        before = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        self.addCleanup(logger.setLevel, before)
        self.addCleanup(logger.removeHandler, handler)

    def without_times(self) -> list[str]:
        """The lines without the host's name and the time."""
        return [re.sub(r"#hostname:[^,]*,[0-9]+", "#hostname:,", line) for line in self.lines]

    def worker(self) -> Context:
        """A worker's context."""
        context = Context("m", "/d", None, 1, None, "1", metrics=HandlerMetrics(model_name="m"))
        unowned.collect_for(context)
        self.addCleanup(unowned.release)
        return context


class UnownedTests(UnownedTestCase):
    """Single metrics."""

    def test_lines_of_a_handlers_own_test(self) -> None:
        metric = CachingMetric("load", "ms", ["Kind", "Level"], MetricTypes.GAUGE)
        metric.add_or_update(2.5, ["a", "b"])
        metric.add_or_update(3, ["a", "b"], "id")
        CachingMetric("errors", "").add_or_update(1)
        self.assertEqual(
            self.without_times(),
            [
                "[METRICS]load.Milliseconds:2.5|#Kind:a,Level:b|#type:GAUGE|#hostname:,",
                "[METRICS]load.Milliseconds:3|#Kind:a,Level:b|#type:GAUGE|#hostname:,,id",
                "[METRICS]errors.unit:1|#|#type:COUNTER|#hostname:,",
            ],
        )

    def test_workers_send_them(self) -> None:
        context = self.worker()
        CachingMetric("load", "widgets", ["Kind"]).add_or_update(2, ["a"])
        emit_metrics([Metric("other", 3, "ms", [])])
        (first, second) = drained(context)
        self.assertEqual((first["name"], first["dimensions"]), ("load", [["Kind", "a"]]))
        self.assertEqual((second["name"], second["value"], second["unit"]), ("other", 3, "Milliseconds"))
        self.assertEqual(self.lines, [])

    def test_nothing_is_kept_for_nobody(self) -> None:
        context, metrics = self.worker(), HandlerMetrics()
        before, context.metrics = context.metrics, metrics
        CachingMetric("load", "ms").add_or_update(2)
        self.assertEqual((before.drain(), metrics.drain()), ([], []))

    def test_old_metrics_stay_and_emit(self) -> None:
        store = OldMetricsStore({0: "r0"}, "m")
        store.add_counter("seen", 1, 0)
        store.add_counter("seen", 4, 0)
        (metric,) = store.store
        self.assertIsInstance(metric, OldMetric)
        self.assertEqual(metric.value, 1)
        metric.reset()
        line = "[METRICS]seen.Count:{}|#ModelName:m,Level:Model|#type:COUNTER|#hostname:,,r0"
        self.assertEqual(self.without_times(), [line.format(4), line.format(0)])

    def test_old_metrics_without_a_request_are_errors(self) -> None:
        store = OldMetricsStore(None, "m")
        store.add_time("t", 1)
        store.add_error("bad", "x")
        shown = [metric.to_dict() for metric in store.store]
        self.assertEqual([one["RequestId"] for one in shown], [None, None])
        self.assertEqual(
            [[str(label) for label in metric.dimensions] for metric in store.store], [["Level:Error"]] * 2
        )


class OwnCacheTests(UnownedTestCase):
    """``MetricsCacheYamlImpl``."""

    def declare(self, text: str) -> MetricsCacheYamlImpl:
        """A cache with a file of this text."""
        path = Path(self.mktemp())
        path.write_text(text)
        return MetricsCacheYamlImpl(str(path))

    def test_declared_metrics(self) -> None:
        cache = self.declare(DECLARED)
        cache.add_metric_to_cache("sizes", "MB", ["Level"], MetricTypes.GAUGE)
        self.assertEqual(cache.cache_keys(), ["gauge:sizes"])
        cache.initialize_cache()
        self.assertEqual(cache.cache_keys(), ["gauge:sizes", "counter:seen"])
        metric = cache.get_metric("sizes", MetricTypes.GAUGE)
        self.assertEqual((metric.unit, metric.dimension_names), ("Bytes", ["Kind"]))

    def test_values_without_a_request_are_errors(self) -> None:
        cache = self.declare(DECLARED)
        cache.add_time("t", 1)
        cache.set_request_ids({0: "a", 1: "b"})
        cache.add_time("u", 1, 1)
        self.assertEqual(
            self.without_times(),
            [
                "[METRICS]t.Milliseconds:1|#Level:Error|#type:GAUGE|#hostname:,",
                "[METRICS]u.Milliseconds:1|#ModelName:None,Level:Model|#type:GAUGE|#hostname:,,b",
            ],
        )

    def test_workers_send_its_values(self) -> None:
        context = self.worker()
        self.declare(DECLARED).add_error("bad", 1, [Dimension("Kind", "a")])
        (record,) = drained(context)
        self.assertEqual(record["dimensions"], [["Kind", "a"], ["Level", "Error"]])

    def test_metrics_of_contexts_are_instances(self) -> None:
        self.assertIsInstance(HandlerMetrics(), MetricsCacheYamlImpl)

    def test_wrong_files(self) -> None:
        self.assertRaisesRegex(MetricsCacheTypeError, "not NoneType", MetricsCacheYamlImpl, None)
        self.assertRaises(MetricsCacheIOError, MetricsCacheYamlImpl, "/nowhere/m.yaml")
        self.assertRaises(MetricsCacheValueError, self.declare, ": : x")
        self.assertRaises(MetricsCacheKeyError, self.declare("other: 1").initialize_cache)
        self.assertRaises(MetricsCacheValueError, self.declare("model_metrics:").initialize_cache)
        unnamed = self.declare("model_metrics: {gauge: [{name: x}]}")
        self.assertRaisesRegex(MetricsCacheKeyError, "'unit'", unnamed.initialize_cache)

    def test_wrong_arguments(self) -> None:
        cache = self.declare(DECLARED)
        wrong: Any = ["ms"]
        for call, text in (
            (lambda: cache.get_metric(wrong, MetricTypes.GAUGE), "`metric_name` must be a str"),
            (lambda: cache.get_metric("x", wrong), "`metric_type` must be a MetricTypes enum"),
            (lambda: cache.add_metric_to_cache("x", wrong), "`unit` must be a str"),
            (lambda: cache.add_metric_to_cache("x", "ms", "ModelName"), "`dimension_names` should be a list"),
        ):
            self.assertRaisesRegex(MetricsCacheTypeError, text, call)
        self.assertRaisesRegex(MetricsCacheValueError, r"\['ms', 's'\]", cache.add_time, "t", 1, unit="h")
