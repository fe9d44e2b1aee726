"""What handlers count, in TorchServe's manner and in Multi Model Server's."""

from __future__ import annotations

import json
import logging
import threading
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.context import Context
from modelserver.child.metrics.mms import MetricsStore, MmsMetricsStore
from modelserver.child.metrics.torchserve import HandlerMetrics
from modelserver.child.metrics.types import (
    Dimension,
    MetricsCacheIOError,
    MetricsCacheKeyError,
    MetricsCacheTypeError,
    MetricsCacheValueError,
    MetricTypes,
)
from tests.harness.packages import needs_torch

MODEL = [["ModelName", "m"], ["Level", "Model"]]
DECLARED = """
model_metrics:
  counter:
    - {name: seen, unit: Count, dimensions: [ModelName, Level]}
  histogram:
    - {name: sizes, unit: Bytes, dimensions: [Kind]}
"""


class QuietTestCase(SynchronousTestCase):
    """Keeps what is logged."""

    def setUp(self) -> None:
        self.logged: list[str] = []
        handler = logging.Handler()
        handler.emit = lambda record: self.logged.append(record.getMessage())  # type: ignore[method-assign]
        logger = logging.getLogger("ts.metrics.caching_metric")
        logger.addHandler(handler)
        logger.propagate = False
        self.addCleanup(logger.removeHandler, handler)
        self.addCleanup(setattr, logger, "propagate", True)


class HandlerMetricsTests(QuietTestCase):
    """TorchServe's helpers."""

    def setUp(self) -> None:
        super().setUp()
        self.metrics = HandlerMetrics(model_name="m", now=lambda: 12.5)
        self.metrics.set_request_ids({0: "r0", 1: "r1"})

    def only(self) -> dict[str, object]:
        """The one record that was emitted."""
        records = self.metrics.drain()
        self.assertEqual(len(records), 1)
        return records[0]

    def test_counter(self) -> None:
        self.metrics.add_counter("seen", 3, 1)
        self.assertEqual(
            self.only(),
            {
                "name": "seen",
                "value": 3,
                "unit": "Count",
                "type": "counter",
                "dimensions": MODEL,
                "request_id": "r1",
                "timestamp": 12.5,
            },
        )

    def test_without_a_place_all_ids_are_named(self) -> None:
        self.metrics.add_counter("seen", 1)
        self.assertEqual(self.only()["request_id"], "r0,r1")

    def test_unknown_place_stands_for_all(self) -> None:
        self.metrics.add_counter("seen", 1, 7)
        self.assertEqual(self.only()["request_id"], "r0,r1")

    def test_types_and_units_of_the_helpers(self) -> None:
        self.metrics.add_time("t", 1.5)
        self.metrics.add_time("u", 1.5, None, "s", metric_type=MetricTypes.HISTOGRAM)
        self.metrics.add_size("z", 2, 0, "kB")
        self.metrics.add_percent("p", 50)
        self.metrics.add_metric("x", 1, "widgets")
        self.assertEqual(
            [(record["name"], record["type"], record["unit"]) for record in self.metrics.drain()],
            [
                ("t", "gauge", "Milliseconds"),
                ("u", "histogram", "Seconds"),
                ("z", "gauge", "Kilobytes"),
                ("p", "gauge", "Percent"),
                ("x", "counter", "widgets"),
            ],
        )

    def test_own_labels_come_first(self) -> None:
        self.metrics.add_metric("x", 1, "u", dimensions=[Dimension("Kind", 7), Dimension("Level", "Mine")])
        self.assertEqual(self.only()["dimensions"], [["Kind", "7"], ["Level", "Mine"], ["ModelName", "m"]])

    def test_list_of_labels_has_the_added_ones_afterwards(self) -> None:
        labels = [Dimension("Kind", 7)]
        self.metrics.add_counter("seen", 1, dimensions=labels)
        self.metrics.get_metric("seen").add_or_update(2, [label.value for label in labels])
        self.metrics.add_error("bad", 1, labels)
        wanted = [["Kind", "7"], ["ModelName", "m"], ["Level", "Model"]]
        self.assertEqual([record["dimensions"] for record in self.metrics.drain()], [wanted] * 3)

    def test_errors_have_their_own_level(self) -> None:
        self.metrics.add_error("bad", 1)
        record = self.only()
        self.assertEqual((record["dimensions"], record["request_id"]), ([["Level", "Error"]], ""))

    def test_errors_have_their_labels_once(self) -> None:
        self.metrics.add_error("bad", 1, [Dimension("Level", "Mine"), Dimension("Kind", 7)])
        self.assertEqual(self.only()["dimensions"], [["Level", "Mine"], ["Kind", "7"]])

    def test_wrong_units_are_refused(self) -> None:
        self.assertRaises(MetricsCacheValueError, self.metrics.add_time, "t", 1, unit="h")
        self.assertRaises(ValueError, self.metrics.add_size, "z", 1, unit="TB")
        self.assertEqual(self.metrics.drain(), [])

    def test_wrong_types_are_refused(self) -> None:
        self.assertRaises(MetricsCacheTypeError, self.metrics.add_metric, "x", 1, "u", metric_type="gauge")
        self.assertRaises(MetricsCacheTypeError, self.metrics.add_metric, 3, 1, "u")
        self.assertRaises(MetricsCacheTypeError, self.metrics.add_metric_to_cache, "x", "u", ["D"], "gauge")

    def test_values_that_do_not_fit_are_logged_and_dropped(self) -> None:
        self.metrics.add_counter("seen", -1)
        self.metrics.add_counter("seen", "many")  # type: ignore[arg-type]
        self.metrics.add_counter("seen", 1, dimensions=[Dimension("Other", "x")])
        self.metrics.add_size("size", True)
        self.metrics.add_size("size", [1])  # type: ignore[arg-type]
        self.metrics.add_size("size", 10**400)
        self.metrics.add_size("size", numpy.array([1, 2]))  # type: ignore[arg-type]
        self.assertEqual(self.metrics.drain(), [])
        self.assertEqual(len(self.logged), 7)

    def test_values_of_libraries_become_plain_numbers(self) -> None:
        values: list[Any] = [numpy.float32(2.5), numpy.int64(3), Fraction(1, 2), Decimal("0.5"), "1.5", 2**70]
        for value in values:
            self.metrics.add_size("size", value)
        told = [record["value"] for record in self.metrics.drain()]
        self.assertEqual(told, [2.5, 3, 0.5, 0.5, 1.5, float(2**70)])
        self.assertEqual({type(value) for value in told}, {int, float})

    @needs_torch
    def test_tensors_become_plain_numbers(self) -> None:
        import torch

        self.metrics.add_counter("seen", torch.tensor([3]))  # type: ignore[arg-type]
        self.metrics.add_size("size", torch.tensor(2.5, requires_grad=True))  # type: ignore[arg-type]
        self.metrics.add_size("size", torch.tensor([1.0, 2.0]))  # type: ignore[arg-type]
        self.assertEqual(json.dumps([record["value"] for record in self.metrics.drain()]), "[3, 2.5]")
        self.assertEqual(len(self.logged), 1)

    def test_a_gauge_may_be_negative(self) -> None:
        self.metrics.add_time("t", -1)
        self.assertEqual(self.only()["value"], -1)

    def test_metric_of_ones_own(self) -> None:
        metric = self.metrics.add_metric_to_cache("x", "u", ["Kind"], MetricTypes.HISTOGRAM)
        self.assertEqual(self.metrics.drain(), [])
        metric.add_or_update(4, ["a"], "r9")
        record = self.only()
        self.assertEqual((record["dimensions"], record["request_id"]), ([["Kind", "a"]], "r9"))
        self.assertIs(self.metrics.get_metric("x", MetricTypes.HISTOGRAM), metric)

    def test_update_replaces_the_labels(self) -> None:
        metric = self.metrics.add_metric_to_cache("x", "u", ["Kind"])
        metric.update(1, "r", [Dimension("Size", "big")])
        self.assertEqual(self.only()["dimensions"], [["Size", "big"]])
        self.assertEqual(metric.dimension_names, ["Size"])

    def test_update_without_labels_has_none(self) -> None:
        self.metrics.add_metric_to_cache("x", "u", ["Kind"]).update(1)
        record = self.only()
        self.assertEqual((record["value"], record["dimensions"]), (1, []))

    def test_absent_metric(self) -> None:
        self.assertRaises(MetricsCacheKeyError, self.metrics.get_metric, "absent")

    def test_ids_come_from_the_context(self) -> None:
        context = Context("m", "/d", None, 1, None, "1", metrics=self.metrics)
        for name in ("a", "b"):
            context.request_ids = {0: name}
            self.metrics.add_counter("seen", 1)
        self.assertEqual([record["request_id"] for record in self.metrics.drain()], ["a", "b"])

    @given(st.lists(st.integers(0, 10**6)), st.lists(st.integers(0, 100), max_size=4))
    def test_every_value_is_drained_once_and_in_order(self, values: list[int], drains: list[int]) -> None:
        metrics, drained = HandlerMetrics(model_name="m"), []
        for position, value in enumerate(values):
            metrics.add_counter("seen", value)
            if position in drains:
                drained += metrics.drain()
        drained += metrics.drain()
        self.assertEqual([record["value"] for record in drained], values)
        self.assertEqual(metrics.drain(), [])

    def test_nothing_is_lost_between_threads(self) -> None:
        drained: list[dict[str, object]] = []

        def count() -> None:
            for _ in range(500):
                self.metrics.add_counter("seen", 1)

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            drained += self.metrics.drain()
        for thread in threads:
            thread.join()
        drained += self.metrics.drain()
        self.assertEqual(len(drained), 2000)


class DeclaredMetricsTests(QuietTestCase):
    """A ``metrics.yaml`` makes metrics known beforehand."""

    def declare(self, text: str) -> HandlerMetrics:
        """Metrics with a file of this text."""
        path = Path(self.mktemp())
        path.write_text(text)
        return HandlerMetrics(str(path), "m", lambda: 1.0)

    def test_declared_metrics_are_found(self) -> None:
        metrics = self.declare(DECLARED)
        metrics.get_metric("sizes", MetricTypes.HISTOGRAM).add_or_update(9, ["png"])
        (record,) = metrics.drain()
        self.assertEqual((record["unit"], record["dimensions"]), ("Bytes", [["Kind", "png"]]))
        self.assertEqual(metrics.cache_keys(), ["counter:seen", "histogram:sizes"])

    def test_file_is_not_needed_to_emit(self) -> None:
        metrics = HandlerMetrics("/nowhere/metrics.yaml", "m")
        metrics.add_counter("seen", 1)
        self.assertEqual(len(metrics.drain()), 1)

    def test_broken_files(self) -> None:
        self.assertRaises(MetricsCacheIOError, HandlerMetrics("/nowhere/m.yaml", "m").initialize_cache)
        for text, error in (
            ("other: 1", MetricsCacheKeyError),
            ("model_metrics: {}", MetricsCacheValueError),
            ("model_metrics: 3", MetricsCacheValueError),
            (": : x", MetricsCacheValueError),
            ("model_metrics: {meter: []}", MetricsCacheKeyError),
            ("model_metrics: {counter: [{name: x}]}", MetricsCacheKeyError),
            ("model_metrics: {counter: [x]}", MetricsCacheKeyError),
            ("model_metrics: {counter: [{name: x, unit: u, dimensions: D}]}", MetricsCacheValueError),
        ):
            self.assertRaises(error, self.declare(text).initialize_cache)


class MetricsStoreTests(SynchronousTestCase):
    """The stores that add up over a batch."""

    def setUp(self) -> None:
        self.store = MmsMetricsStore({0: "r0", 1: "r1"}, "m")

    def test_counters_add_up_for_each_request(self) -> None:
        self.store.add_counter("seen", 1, 0)
        self.store.add_counter("seen", 2, 0)
        self.store.add_counter("seen", 5, 1)
        self.assertEqual(
            [(record["request_id"], record["value"], record["type"]) for record in self.store.drain()],
            [("r0", 3, "counter"), ("r1", 5, "counter")],
        )
        self.assertEqual(self.store.drain(), [])
        self.store.add_counter("seen", 1, 0)
        self.assertEqual([record["value"] for record in self.store.drain()], [1])

    def test_other_values_replace_each_other(self) -> None:
        self.store.add_time("t", 1)
        self.store.add_time("t", 2)
        (record,) = self.store.drain()
        self.assertEqual(
            (record["value"], record["unit"], record["type"], record["request_id"], record["dimensions"]),
            (2, "Milliseconds", "gauge", "r0,r1", MODEL),
        )

    def test_argument_orders_differ(self) -> None:
        self.store.add_metric("x", 1, 0, "widgets")
        self.store.add_metric("y", 1)
        self.assertEqual(
            [(record["request_id"], record["unit"]) for record in self.store.drain()],
            [("r0", "widgets"), ("r0,r1", "unit")],
        )
        other = MetricsStore({0: "r0"}, "m")
        other.add_metric("x", 1, "widgets", 0)
        self.assertEqual(other.drain()[0]["unit"], "widgets")

    def test_units(self) -> None:
        self.store.add_time("t", 1, unit="s")
        self.store.add_size("z", 1, unit="GB")
        self.store.add_percent("p", 1)
        self.assertEqual(
            [record["unit"] for record in self.store.drain()], ["Seconds", "Gigabytes", "Percent"]
        )
        self.assertRaises(ValueError, self.store.add_time, "t", 1, unit="h")
        self.assertRaises(ValueError, self.store.add_size, "z", 1, unit="h")

    def test_error_keeps_its_text(self) -> None:
        self.store.add_error("e", "boom", [Dimension("Where", "here")])
        (record,) = self.store.drain()
        self.assertEqual(record["value"], "boom")
        self.assertEqual(record["dimensions"], [["Where", "here"], ["Level", "Error"]])

    def test_records_are_plain(self) -> None:
        self.store.add_counter("seen", numpy.int64(1), 0)  # type: ignore[arg-type]
        self.store.add_counter("seen", numpy.int64(2), 0)  # type: ignore[arg-type]
        self.store.add_size("size", numpy.array([1, 2]))  # type: ignore[arg-type]
        self.store.add_error("e", ValueError("boom"), [Dimension(b"Where", 1)])  # type: ignore[arg-type]
        records = json.loads(json.dumps(self.store.drain()))
        self.assertEqual([record["value"] for record in records], [3, "[1 2]", "boom"])
        self.assertEqual(records[2]["dimensions"][0], ["b'Where'", "1"])

    def test_shown_as_the_peers_show_it(self) -> None:
        self.store.add_counter("seen", 1, 0)
        (metric,) = self.store.store
        self.assertTrue(str(metric).startswith("seen.Count:1|#ModelName:m,Level:Model|#hostname:"))
        self.assertTrue(str(metric).endswith(",r0"))
        shown = metric.to_dict()
        self.assertEqual((shown["MetricName"], shown["Value"], shown["RequestId"]), ("seen", 1, "r0"))
        metric.reset()
        self.assertEqual(metric.value, 0)

    def test_one_id_of_any_kind(self) -> None:
        identity = UUID(int=1)
        store = MetricsStore(identity, "m")
        store.add_time("t", 1, None, "ms")
        self.assertEqual(store.drain()[0]["request_id"], str(identity))

    def test_ids_come_from_the_context(self) -> None:
        store = MmsMetricsStore(None, "m")
        context = Context("m", "/d", None, 1, None, "1", metrics=store)
        context.request_ids = {0: "late"}
        store.add_counter("seen", 1)
        self.assertEqual(store.drain()[0]["request_id"], "late")
