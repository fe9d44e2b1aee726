"""The text of a scrape, and what Prometheus' own parsers make of it."""

from __future__ import annotations

from math import inf, nan

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.client_registry import new_registry
from modelserver.metrics.declarations import COUNTER, GAUGE, HISTOGRAM, Declaration
from modelserver.metrics.exposition import (
    LINES_AT_ONCE,
    Exposed,
    is_exposable,
    peers_help,
    pieces,
    render,
)
from modelserver.metrics.series import Counter, Gauge, Histogram

REQUESTS = Declaration("Requests2XX", COUNTER, "Count", ("Level", "Hostname"))
QUEUE = Declaration("QueueTime", GAUGE, "Milliseconds", ("Level", "Hostname"))
SPREAD = Declaration("Spread", HISTOGRAM, "ms", ("ModelName", "Hostname"))


class RenderTests(SynchronousTestCase):
    """The text is TorchServe's: HELP and TYPE, bare counter names, a comma behind each label."""

    def setUp(self) -> None:
        self.requests, self.queue = Counter(REQUESTS), Gauge(QUEUE)
        self.spread = Histogram(SPREAD, (0.5, 1.0))

    def exposed(self) -> list[Exposed]:
        return [
            Exposed(family, peers_help(family.declaration), ("vm",))
            for family in (self.requests, self.queue, self.spread)
        ]

    def test_counter_keeps_its_bare_name(self) -> None:
        self.requests.update(("Host",), 3)
        self.assertEqual(
            render(self.exposed()[:1]).decode(),
            "# HELP Requests2XX Torchserve prometheus counter metric with unit: Count\n"
            "# TYPE Requests2XX counter\n"
            'Requests2XX{Level="Host",Hostname="vm",} 3.0\n',
        )

    def test_family_without_samples_has_help_and_type(self) -> None:
        self.assertEqual(
            render(self.exposed()[1:2]).decode(),
            "# HELP QueueTime Torchserve prometheus gauge metric with unit: Milliseconds\n"
            "# TYPE QueueTime gauge\n",
        )

    def test_histogram(self) -> None:
        self.spread.update(("noop",), 0.75)
        self.assertEqual(
            render(self.exposed()[2:]).decode().splitlines()[2:],
            [
                'Spread_bucket{ModelName="noop",Hostname="vm",le="0.5",} 0.0',
                'Spread_bucket{ModelName="noop",Hostname="vm",le="1.0",} 1.0',
                'Spread_bucket{ModelName="noop",Hostname="vm",le="+Inf",} 1.0',
                'Spread_count{ModelName="noop",Hostname="vm",} 1.0',
                'Spread_sum{ModelName="noop",Hostname="vm",} 0.75',
            ],
        )

    def test_filter_is_by_sample_name(self) -> None:
        self.requests.update(("Host",), 3)
        self.spread.update(("noop",), 0.75)
        self.assertEqual(
            render(self.exposed(), {"Spread_count"}).decode().splitlines(),
            [
                "# HELP Spread Torchserve prometheus histogram metric with unit: ms",
                "# TYPE Spread histogram",
                'Spread_count{ModelName="noop",Hostname="vm",} 1.0',
            ],
        )
        self.assertEqual(render(self.exposed(), {"Spread", "QueueTime", "nosuch"}), b"")

    def test_many_series_come_in_pieces_that_do_not_contradict_themselves(self) -> None:
        for number in range(LINES_AT_ONCE // 4):
            self.spread.update((f"m{number}",), 0.75)
        written = []
        for piece in pieces(self.exposed()):
            written.append(piece)
            for number in range(LINES_AT_ONCE // 4):
                self.spread.update((f"m{number}",), 0.75)
            self.spread.update((f"new{len(written)}",), 0.75)
        self.assertGreater(len(written), 1)
        self.assertLessEqual(
            max(piece.count(b"\n") for piece in written), LINES_AT_ONCE + len(self.exposed())
        )
        (family,) = (
            family
            for family in text_string_to_metric_families(b"".join(written).decode())
            if family.name == "Spread"
        )
        counts: dict[str, set[float]] = {}
        for sample in family.samples:
            if sample.name == "Spread_count" or sample.labels.get("le") == "+Inf":
                counts.setdefault(sample.labels["ModelName"], set()).add(sample.value)
        self.assertEqual({len(values) for values in counts.values()}, {1})

    def test_no_labels(self) -> None:
        up = Gauge(Declaration("up", GAUGE, "", ()))
        up.update((), 1)
        self.assertEqual(render([Exposed(up, "Up.")]).decode().splitlines()[2], "up 1.0")

    def test_special_numbers(self) -> None:
        for value, shown in ((nan, "NaN"), (inf, "+Inf"), (-inf, "-Inf"), (12345678901, "12345678901.0")):
            self.queue.update(("Host",), value)
            line = render(self.exposed()[1:2]).decode().splitlines()[2]
            self.assertEqual(line.rpartition(" ")[2], shown)

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")))
    def test_label_values_survive_a_parser(self, text: str) -> None:
        queue = Gauge(QUEUE)
        queue.update((text,), 1)
        (family,) = text_string_to_metric_families(render([Exposed(queue, "a\\b\nc", ("vm",))]).decode())
        self.assertEqual(family.samples[0].labels, {"Level": text, "Hostname": "vm"})
        self.assertEqual(family.documentation, "a\\b\nc")

    def test_registry_tells_the_same(self) -> None:
        self.requests.update(("Host",), 3)
        self.spread.update(("noop",), 0.75)
        registry = new_registry(self.exposed)
        told = [
            (sample.name, sample.labels, sample.value)
            for metric in registry.collect()
            for sample in metric.samples
        ]
        read = [
            (sample.name, sample.labels, sample.value)
            for metric in text_string_to_metric_families(render(self.exposed()).decode())
            for sample in metric.samples
        ]
        # The parser of the library adds to the names of counters what its writer adds.
        self.assertEqual(told, [(name.replace("_total", ""), labels, value) for name, labels, value in read])


class NamesTests(SynchronousTestCase):
    """Names that Prometheus would refuse are not exposed."""

    def test_names(self) -> None:
        for name, dimensions, expected in (
            ("a_b:C1", ("A", "b_1"), True),
            ("1a", (), False),
            ("a b", (), False),
            ("a", ("a-b",), False),
            ("a", ("__a",), False),
            ("a", ("A", "A"), False),
            ("a", ("le",), False),
            ("a\n", (), False),
        ):
            self.assertEqual(is_exposable(Declaration(name, GAUGE, "", dimensions)), expected, name)
