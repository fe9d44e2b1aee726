"""The same metrics in OpenMetrics, with exemplars."""

from __future__ import annotations

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declarations import COUNTER, GAUGE, HISTOGRAM, Declaration
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.openmetrics import (
    WITH_EXEMPLARS,
    Exemplars,
    is_openmetrics_wanted,
    openmetrics_pieces,
)
from modelserver.metrics.series import Histogram, Observations, new_family
from modelserver.metrics.tallies import SECONDS

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def family(name: str, kind: str) -> Exposed:
    """A family of one series."""
    made = new_family(Declaration(name, kind, "", ("model",)))
    made.update(('a"b\\c',), 2)
    return Exposed(made, 'What "it" is.')


class FormatTests(SynchronousTestCase):
    """What a strict reader makes of it."""

    def read(self, *exposed: Exposed, exemplars: Exemplars | None = None) -> dict[str, object]:
        """The families by name."""
        text = b"".join(openmetrics_pieces(exposed, exemplars or Exemplars())).decode()
        return {each.name: each for each in text_string_to_metric_families(text)}

    def test_each_type(self) -> None:
        found = self.read(
            family("x_total", COUNTER), family("peer", COUNTER), family("g", GAUGE), family("h", HISTOGRAM)
        )
        kinds = {name: each.type for name, each in found.items()}  # type: ignore[attr-defined]
        self.assertEqual({"x": "counter", "peer": "unknown", "g": "gauge", "h": "histogram"}, kinds)

    def test_exemplar_is_in_the_bucket_of_its_request(self) -> None:
        exemplars = Exemplars()
        exemplars.note("m", "1.0", 0.02, (TRACE, 1_700_000_000.0))
        exemplars.note("m", "1.0", 500.0, (TRACE, 1_700_000_000.0))
        histogram = Histogram(Declaration(WITH_EXEMPLARS, HISTOGRAM, "", ("model", "version")), SECONDS)
        series = Observations(SECONDS)
        histogram.add(("m", "1.0"), series)
        histogram.add(("other", "1.0"), series)
        found = self.read(Exposed(histogram, "h"), exemplars=exemplars)[WITH_EXEMPLARS]
        with_one = [
            (sample.labels["model"], sample.labels["le"], sample.exemplar.labels, sample.exemplar.value)
            for sample in found.samples  # type: ignore[attr-defined]
            if sample.exemplar
        ]
        self.assertEqual(
            [("m", "0.025", {"trace_id": TRACE}, 0.02), ("m", "+Inf", {"trace_id": TRACE}, 500.0)], with_one
        )

    def test_names_choose_samples(self) -> None:
        pieces = openmetrics_pieces([family("g", GAUGE), family("k", GAUGE)], Exemplars(), {"k"})
        text = b"".join(pieces).decode()
        self.assertNotIn("g{", text)
        self.assertIn("k{", text)
        self.assertTrue(text.endswith("# EOF\n"))


class AcceptTests(SynchronousTestCase):
    """Who gets it."""

    def test_prometheus_does_and_older_scrapers_do_not(self) -> None:
        for accept, wanted in (
            (PROMETHEUS, True),
            ("application/openmetrics-text", True),
            ("text/plain", False),
            ("", False),
            ("*/*", False),
            ("application/openmetrics-text;q=0.1, text/plain;q=0.5", False),
            ("application/openmetrics-text;q=x", False),
            ("application/openmetrics-text;q=0", False),
        ):
            self.assertEqual(wanted, is_openmetrics_wanted(accept), accept)
