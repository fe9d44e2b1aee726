"""What was counted for a version goes with it, after the scrape that has its last numbers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declaration_files import load
from modelserver.metrics.departures import LONGEST_KEPT
from modelserver.metrics.recorder import MetricsInputs, MetricsRecorder, MetricsSettings
from modelserver.spec import VersionDescription
from modelserver.testing.providers import START_OF_TIME, make_spec


class DepartureTests(SynchronousTestCase):
    """A recorder whose versions come and go."""

    def setUp(self) -> None:
        self.now = START_OF_TIME
        self.there: list[VersionDescription] = []
        inputs = MetricsInputs(
            now=lambda: self.now,
            versions=lambda: self.there,
            is_served=lambda name: any(each.spec.name == name for each in self.there),
            write_server=lambda line: None,
            write_model=lambda line: None,
        )
        self.recorder = MetricsRecorder(MetricsSettings(load(), mode="prometheus"), inputs)

    def serve(self, model: str, version: str = "1.0") -> None:
        """Register, serve, and have something of every kind counted."""
        self.there.append(VersionDescription(make_spec(model, version), True, ()))
        recorder = self.recorder
        recorder.request_arrived(model, None)
        recorder.request_arrived(model, version)
        recorder.batches_finished(model, version, 1, 1, 0.001, 0.002)
        recorder.worker_restarted(model, version)
        recorder.job_retried(model, version)
        recorder.refused(model, "queue_full")

    def unregister(self, model: str, version: str = "1.0") -> None:
        """Have it no more."""
        self.there = [each for each in self.there if (each.spec.name, each.spec.version) != (model, version)]
        self.recorder.version_gone(model, version)

    def scraped(self, model: str) -> int:
        """Scrape; how many lines are about a model."""
        return sum(f'"{model}"' in line for line in self.recorder.scrape().decode().splitlines())

    def test_the_last_numbers_are_read_once_more(self) -> None:
        self.serve("a")
        self.assertGreater(self.scraped("a"), 30)
        self.recorder.refused("a", "draining")
        self.unregister("a")
        self.assertGreater(self.scraped("a"), 30)
        self.assertEqual(self.scraped("a"), 0)

    def test_they_go_though_nobody_reads(self) -> None:
        self.serve("a")
        self.unregister("a")
        self.now += LONGEST_KEPT
        self.recorder.write_lines()
        self.assertEqual(self.scraped("a"), 0)

    def test_other_models_and_versions_stay(self) -> None:
        self.serve("a")
        self.serve("a", "2.0")
        self.serve("b")
        before = self.scraped("b")
        self.unregister("a")
        self.scraped("a")
        self.assertGreater(self.scraped("a"), 30)
        text = self.recorder.scrape().decode()
        self.assertNotIn('model="a",version="1.0"', text)
        self.assertIn('model="a",version="2.0"', text)
        self.assertIn('ts_inference_requests_total{model_name="a",model_version="default"', text)
        self.assertEqual(self.scraped("b"), before)

    def test_one_that_is_there_again_stays(self) -> None:
        self.serve("a")
        self.unregister("a")
        self.scraped("a")
        self.serve("a")
        self.assertGreater(self.scraped("a"), 30)

    def test_many_come_and_go_and_the_text_is_as_long_as_before(self) -> None:
        self.serve("stays")
        self.scraped("stays")
        before = len(self.recorder.scrape())
        for number in range(500):
            self.serve(f"m{number}")
            self.unregister(f"m{number}")
            if number % 50 == 0:
                self.recorder.scrape()
        self.recorder.scrape()
        self.assertEqual(len(self.recorder.scrape()), before)
