"""Figures: the same numbers as a scrape of the same instant."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.command_sampler import Reported
from modelserver.metrics.figures import NOTHING
from modelserver.metrics.host_sampler import HostValue
from modelserver.testing.providers import START_OF_TIME
from tests.harness.metrics import Server, finished_job

KEY = ("noop", "1.0")


class FiguresTests(SynchronousTestCase):
    """What the recorder gives as plain values."""

    def setUp(self) -> None:
        self.server = Server()
        self.recorder = self.server.instruments

    def scraped(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.recorder.scrape().decode())
        samples = [sample for family in families for sample in family.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def test_of_nothing_there_is_nothing(self) -> None:
        figures = self.recorder.figures()
        self.assertEqual((dict(figures.versions), figures.answers, figures.host_at), ({}, {}, 0.0))
        self.assertEqual(sum(NOTHING.requests), 0)

    def test_a_version_is_the_sum_of_all_names_that_clients_have_for_it(self) -> None:
        self.server.serve()
        self.server.serve("1.0")
        counted = self.recorder.figures().versions[KEY]
        labels = {"model": "noop", "version": "1.0"}
        self.assertEqual(sum(counted.requests), 2)
        self.assertEqual(sum(counted.requests), self.scraped("modelserver_request_seconds_count", **labels))
        self.assertEqual(counted.seconds, self.scraped("modelserver_request_seconds_sum", **labels))
        self.assertEqual(counted.queued, self.scraped("modelserver_queue_seconds_sum", **labels))
        self.assertEqual(sum(counted.batches), self.scraped("modelserver_batch_size_count", **labels))
        self.assertEqual(counted.batched, self.scraped("modelserver_batch_size_sum", **labels))

    def test_rarer_events(self) -> None:
        self.recorder.worker_restarted(*KEY)
        self.recorder.job_retried(*KEY)
        self.recorder.job_retried(*KEY)
        self.recorder.refused("noop", "job_queue_size")
        self.recorder.refused("nobody", "job_queue_size")
        for name in ("Ping", "Predict"):
            self.recorder.calls_ended(f"/x/{name}", "OK", [0.1], 1, 2)
        self.recorder.answered(404)
        figures = self.recorder.figures()
        counted = figures.versions[KEY]
        self.assertEqual((counted.restarts, counted.retries), (1, 2))
        self.assertEqual(figures.refusals, {("noop", "job_queue_size"): 1, ("", "job_queue_size"): 1})
        self.assertEqual(figures.calls, {"OK": 2})
        self.assertEqual(figures.answers, {404: 1})

    def test_they_stay_as_they_were(self) -> None:
        self.server.serve()
        before = self.recorder.figures()
        self.server.serve()
        self.assertEqual(sum(before.versions[KEY].requests), 1)
        self.assertEqual(before.answers, {200: 1})

    def test_one_request_is_in_the_bucket_of_its_time(self) -> None:
        self.recorder.jobs_finished(*KEY, [finished_job(0.0625)], 0.5)
        counts = self.recorder.figures().versions[KEY].requests
        self.assertEqual([at for at, count in enumerate(counts) if count], [10])  # up to 0.5 s

    def test_the_last_sample_of_the_machine(self) -> None:
        self.recorder.host_sampled([HostValue("CPUUtilization", 10.0), HostValue("GPUUtilization", 1.0, 0)])
        self.recorder.host_sampled([HostValue("CPUUtilization", 20.0), HostValue("GPUUtilization", 2.0, 1)])
        figures = self.recorder.figures()
        self.assertEqual(
            set(figures.host),
            {
                HostValue("CPUUtilization", 20.0),
                HostValue("GPUUtilization", 1.0, 0),
                HostValue("GPUUtilization", 2.0, 1),
            },
        )
        self.assertEqual(figures.host_at, START_OF_TIME)

    def test_values_of_the_operators_sampler(self) -> None:
        for name, dimensions in (
            ("MemoryUsed", ("Host",)),
            ("GPUUtilization", ("Host", "3")),
            ("GPUUtilization", ("Host", "three")),
            ("GPUUtilization", ("Host", "99999")),
            ("GPUUtilization", ()),
            ("Temperature", ("Host",)),
        ):
            self.recorder.reported(Reported(name, 5.0, dimensions, "vm"))
        self.assertEqual(
            set(self.recorder.figures().host),
            {HostValue("MemoryUsed", 5.0), HostValue("GPUUtilization", 5.0, 3)},
        )
