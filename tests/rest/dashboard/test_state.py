"""The state that the page shows: the same numbers as ``/metrics``, at the same instant."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from modelserver.devices import GpuMemory
from modelserver.metrics.host_sampler import HostValue, Sample
from modelserver.metrics.scrape_readings import ScrapeReadings
from modelserver.spec import WorkerFailure, WorkerPlace
from tests.harness.dashboard import DashboardStage


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: bytes) -> None:
        families = text_string_to_metric_families(text.decode())
        self.samples = [sample for family in families for sample in family.samples]

    def get(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels."""
        return sum(
            each.value for each in self.samples if each.name == name and labels.items() <= each.labels.items()
        )

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The samples with these labels, by another label."""
        return {
            each.labels[label]: each.value
            for each in self.samples
            if each.name == name and labels.items() <= each.labels.items()
        }

    def quantile(self, share: float, name: str, **labels: str) -> float:
        """What ``histogram_quantile`` makes of the buckets with these labels."""
        buckets: dict[float, float] = {}
        for each in self.samples:
            if each.name == f"{name}_bucket" and labels.items() <= each.labels.items():
                bound = float(each.labels["le"])
                buckets[bound] = buckets.get(bound, 0.0) + each.value
        rank = share * buckets[float("inf")]
        lower, below = 0.0, 0.0
        for bound in sorted(buckets):
            if buckets[bound] >= rank:
                return lower + (bound - lower) * (rank - below) / (buckets[bound] - below)
            lower, below = bound, buckets[bound]
        raise AssertionError("the last bucket has all")


class EqualToMetricsTests(SynchronousTestCase):
    """Every number of the page against a scrape of the same instant."""

    def setUp(self) -> None:
        self.on = DashboardStage()
        self.on.add("noop", workers=2, job_queue_size=7)
        self.on.add("noop", "2.0", workers=1)
        self.on.add("idle", workers=0)
        for wait in (0.001, 0.03, 0.03, 0.2, 3.0):
            self.on.serve(wait=wait)
        for _ in range(6):
            self.on.ask("POST", "/predictions/noop", b"body")
        self.on.ask("POST", "/predictions/idle", b"")
        self.on.get("/nowhere")
        self.on.stage.backend.workers[0].exit(WorkerFailure("exit", 5.0, exit_code=1))
        self.on.stage.turn()
        memory = {each.pid or 0: 4096 for each in self.on.stage.backend.workers}
        self.on.recorder.memory_sampled(Sample(memory=memory))
        self.on.recorder.host_sampled([HostValue("CPUUtilization", 12.5), HostValue("GPUMemoryUsed", 2.0, 1)])
        self.on.recorder.calls_ended("/p/Ping", "OK", [0.1], 1, 2)
        # Both are read in the same instant: nothing happens in between.
        scraped = self.on.recorder.scrape()
        ((_, self.state),) = self.on.watch().events()
        self.scrape = Scrape(scraped)

    def rows(self) -> list[tuple[dict[str, Any], dict[str, str]]]:
        columns = self.state["columns"]
        named = [dict(zip(columns, row, strict=True)) for row in self.state["models"].values()]
        return [(row, {"model": row["name"], "version": row["version"]}) for row in named]

    def test_there_is_something_to_compare(self) -> None:
        noop = next(row for row, labels in self.rows() if labels == {"model": "noop", "version": "1.0"})
        self.assertEqual((noop["finished"], noop["limit"], noop["batch"]), (5, 7, 1.0))
        self.assertGreater(noop["waiting"], 0)
        self.assertGreater(noop["in_flight"], 0)
        self.assertGreater(sum(noop["refused"].values()) + self.scrape.get("modelserver_refusals_total"), 0)

    def test_counts_of_versions(self) -> None:
        for row, labels in self.rows():
            with self.subTest(**labels):
                get = self.scrape.get
                self.assertEqual(row["waiting"], get("modelserver_queue_depth", **labels))
                self.assertEqual(row["in_flight"], get("modelserver_in_flight_requests", **labels))
                self.assertEqual(row["finished"], get("modelserver_request_seconds_count", **labels))
                self.assertEqual(row["restarts"], get("modelserver_worker_restarts_total", **labels))
                self.assertEqual(row["retries"], get("modelserver_job_retries_total", **labels))
                batches = get("modelserver_batch_size_count", **labels)
                mean = get("modelserver_batch_size_sum", **labels) / batches if batches else None
                self.assertEqual(row["batch"], mean)
                refused = self.scrape.by("modelserver_refusals_total", "cause", model=row["name"])
                self.assertEqual(row["refused"], refused)
                self.assertEqual(row["refusals"], sum(refused.values()))

    def test_quantiles(self) -> None:
        for share, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
            wanted = self.scrape.quantile(share, "modelserver_request_seconds", model="noop")
            self.assertAlmostEqual(self.state["server"][name], wanted, delta=wanted * 1e-3)
            (row,) = (row for row, labels in self.rows() if labels == {"model": "noop", "version": "1.0"})
            self.assertEqual(row[name], self.state["server"][name])

    def test_workers(self) -> None:
        for row, labels in self.rows():
            workers = [dict(zip(self.state["worker_columns"], each, strict=True)) for each in row["workers"]]
            with self.subTest(**labels):
                states = self.scrape.by("modelserver_workers", "state", **labels)
                told = [each["state"] for each in workers]
                self.assertEqual({state: told.count(state) for state in told}, states)
                memory = self.scrape.by("modelserver_worker_memory_bytes", "worker", **labels)
                self.assertEqual({each["id"]: each["memory"] for each in workers}, memory)

    def test_gpu_memory_is_the_drivers_or_else_the_workers_own(self) -> None:
        on = DashboardStage()
        on.add("noop", workers=2)
        first, second = on.stage.backend.workers
        first.gpu_memory = second.gpu_memory = GpuMemory(100, 300, 200)
        on.recorder.memory_sampled(Sample(gpu_memory={first.pid or 0: 450}))
        ((_, self.state),) = on.watch().events()
        ((row, _),) = self.rows()
        told = [dict(zip(self.state["worker_columns"], each, strict=True)) for each in row["workers"]]
        self.assertEqual([450, 300], [each["gpu_memory"] for each in told])

    def test_gpu_that_is_set_aside_is_shown_with_the_reason(self) -> None:
        on = DashboardStage()
        on.recorder.read_at_scrape = lambda: ScrapeReadings(gpus={0: None, 1: "it is lost"})
        ((_, self.state),) = on.watch().events()
        self.assertEqual({"1": "it is lost"}, self.state["machine"]["aside"])

    def test_a_failure_of_a_worker(self) -> None:
        row = next(row for row, labels in self.rows() if labels == {"model": "noop", "version": "1.0"})
        failed = dict(zip(self.state["worker_columns"], row["workers"][0], strict=True))
        self.assertEqual((failed["failure"], failed["failed_at"]), ("exited with code 1", 5.0))

    def test_a_worker_on_a_node(self) -> None:
        on = DashboardStage()
        on.add("noop", workers=2)
        place = WorkerPlace("b/1234", "192.0.2.2", "0815", "it has CPU 1", pid=4711)
        on.stage.backend.workers[1].place = place
        ((_, self.state),) = on.watch().events()
        ((row, _),) = self.rows()
        told = [dict(zip(self.state["worker_columns"], each, strict=True)) for each in row["workers"]]
        self.assertEqual(
            [("", ""), ("b/1234 192.0.2.2", "it has CPU 1; group 0815")],
            [(each["node"], each["placed"]) for each in told],
        )
        self.assertEqual(4711, told[1]["pid"])

    def test_the_server(self) -> None:
        server = self.state["server"]
        self.assertEqual(server["answers"], self.scrape.by("modelserver_http_responses_total", "code"))
        self.assertEqual(server["calls"], self.scrape.by("modelserver_grpc_calls_total", "code"))
        self.assertEqual(server["waiting"], self.scrape.get("modelserver_queue_depth"))
        self.assertEqual(server["in_flight"], self.scrape.get("modelserver_in_flight_requests"))
        self.assertEqual(server["finished"], self.scrape.get("modelserver_request_seconds_count"))
        self.assertEqual(server["refused"], self.scrape.by("modelserver_refusals_total", "cause", model=""))

    def test_the_machine(self) -> None:
        machine = self.state["machine"]
        self.assertEqual(machine["values"]["CPUUtilization"], self.scrape.get("CPUUtilization"))
        used = machine["gpus"]["1"]["GPUMemoryUsed"]
        self.assertEqual(used, self.scrape.get("GPUMemoryUsed"))
        self.assertEqual(used * (1 << 20), self.scrape.get("modelserver_gpu_memory_bytes", gpu="1"))


class ChangeTests(SynchronousTestCase):
    """What a page is told after the first time."""

    def setUp(self) -> None:
        self.on = DashboardStage()
        self.on.add("noop")
        self.on.add("idle")
        self.page = self.on.watch()

    def next(self, seconds: float = 1.0) -> dict[str, Any]:
        before = len(self.page.events())
        self.on.stage.clock.advance(seconds)
        (name, state), *_ = self.page.events()[before:]
        self.assertEqual(name, "change")
        told: dict[str, Any] = state
        return told

    def test_nothing_new(self) -> None:
        self.next()
        self.assertEqual(set(self.next()), {"at", "server", "models"})

    def test_only_versions_that_changed(self) -> None:
        self.next()
        self.on.serve()
        self.assertEqual(list(self.next()["models"]), ["noop/1.0"])

    def test_versions_that_come_and_go(self) -> None:
        self.next()
        self.on.registry.remove("idle")
        self.on.add("new", "7")
        told = self.next()
        self.assertEqual((told["gone"], list(told["models"])), (["idle/1.0"], ["new/7"]))

    def test_steps_of_the_chart_as_they_are_complete(self) -> None:
        self.on.serve(10)
        told = [self.next() for _ in range(11)]
        steps = [state["chart"] for state in told if "chart" in state]
        self.assertEqual([len(each) for each in steps], [1, 1])
        self.assertEqual(steps[0][0][1], 2.0)

    def test_lines_of_the_log_once(self) -> None:
        log = Logger("modelserver.test", observer=self.on.lines)
        log.warn("{text}", text="<script>alert(1)</script>")
        self.assertEqual(
            [line[2:] for line in self.next()["lines"]], [["warn", "", "<script>alert(1)</script>"]]
        )
        self.assertNotIn("lines", self.next())
        ((_, state),) = self.on.watch().events()
        self.assertEqual(len(state["lines"]), 1)

    def test_rates_of_the_last_seconds(self) -> None:
        for _ in range(10):
            self.next()
        self.on.serve(20)
        self.assertAlmostEqual(self.next()["server"]["rate"], 20 / 6, places=2)
        rates = [self.next()["server"]["rate"] for _ in range(10)]
        self.assertEqual(rates[-1], 0.0)
