"""The recorder: what is counted, where the modes send it, and what Prometheus says about it."""

from __future__ import annotations

from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from modelserver.devices import GpuMemory
from modelserver.metrics.declaration_files import load, parse
from modelserver.metrics.declarations import Declarations
from modelserver.metrics.host_sampler import HostValue, Sample
from modelserver.metrics.recorder import (
    LEGACY,
    LOG,
    PROMETHEUS,
)
from modelserver.spec import ScalingDescription, VersionDescription, WorkerDescription, WorkerState
from modelserver.testing.providers import START_OF_TIME, make_spec
from modelserver.version_settings.values import Autoscaling, WorkerRange
from tests.harness.metrics import NOOP, WORKER, Server, finished_job

HISTOGRAMS = """
ts_metrics:
  histogram:
    - {name: QueueTime, unit: Milliseconds, dimensions: [Level, Hostname]}
    - {name: ts_inference_latency_microseconds, unit: us, dimensions: [model, version, Hostname]}
"""


class PeersMetricsTests(SynchronousTestCase):
    """The peers' metrics have their names, labels and values."""

    def setUp(self) -> None:
        self.server = Server()
        self.instruments = self.server.instruments

    def samples(self) -> list[str]:
        return [line for line in self.server.scrape() if not line.startswith("modelserver_")]

    def test_a_request(self) -> None:
        self.server.serve()
        self.server.serve()
        self.assertEqual(
            self.samples(),
            [
                'Requests2XX{Level="Host",Hostname="vm",} 2.0',
                'ts_inference_requests_total{model_name="noop",model_version="default",hostname="vm",} 2.0',
                "ts_inference_latency_microseconds"
                '{model_name="noop",model_version="default",hostname="vm",} 1000000.0',
                "ts_queue_latency_microseconds"
                '{model_name="noop",model_version="default",hostname="vm",} 125000.0',
                'QueueTime{Level="Host",Hostname="vm",} 62.0',
                'WorkerThreadTime{Level="Host",Hostname="vm",} 125.0',
                'PredictionTime{ModelName="noop",Level="Model",Hostname="vm",} 250.0',
            ],
        )

    def test_a_second_scrape_tells_the_same(self) -> None:
        self.server.serve()
        first = self.samples()
        self.assertEqual(self.samples(), first)

    def test_the_version_that_the_client_named(self) -> None:
        self.instruments.request_arrived("noop", "1.0")
        self.instruments.jobs_finished("noop", "1.0", [finished_job(0.0, "1.0")], 0.5)
        labels = 'model_name="noop",model_version="1.0",hostname="vm",'
        self.assertEqual(
            self.samples()[:3],
            [
                f"ts_inference_requests_total{{{labels}}} 1.0",
                f"ts_inference_latency_microseconds{{{labels}}} 500000.0",
                f"ts_queue_latency_microseconds{{{labels}}} 0.0",
            ],
        )

    def test_answers_by_class(self) -> None:
        for code in (200, 299, 400, 404, 499, 500, 503, 101, 302):
            self.instruments.answered(code)
        self.assertEqual(
            self.samples(),
            [
                'Requests2XX{Level="Host",Hostname="vm",} 2.0',
                'Requests4XX{Level="Host",Hostname="vm",} 3.0',
                'Requests5XX{Level="Host",Hostname="vm",} 4.0',
            ],
        )
        self.assertIn('modelserver_http_responses_total{code="404",} 1.0', self.server.scrape())

    def test_load_time_of_present_workers_only(self) -> None:
        self.instruments.worker_loaded("noop", "1.0", "9000", 2.8155)
        self.instruments.worker_loaded("noop", "1.0", "9001", 3.0)
        self.server.versions = [VersionDescription(make_spec("noop"), True, (WORKER,))]
        self.assertEqual(
            self.samples(),
            ['WorkerLoadTime{WorkerName="W-9000-noop_1.0",Level="Host",Hostname="vm",} 2815.0'],
        )

    def test_host_and_gpus(self) -> None:
        self.instruments.host_sampled(
            [HostValue("CPUUtilization", 12.5), HostValue("GPUMemoryUsed", 512.0, 1), HostValue("Unknown", 1)]
        )
        self.assertEqual(
            self.samples(),
            [
                'CPUUtilization{Level="Host",Hostname="vm",} 12.5',
                'GPUMemoryUsed{Level="Host",DeviceId="1",Hostname="vm",} 512.0',
            ],
        )
        self.assertIn('modelserver_gpu_memory_bytes{gpu="1",} 536870912.0', self.server.scrape())

    def test_handler_metrics(self) -> None:
        hit = {
            "name": "HandlerTime",
            "value": 3.5,
            "unit": "ms",
            "type": "gauge",
            "dimensions": [["ModelName", "noop"], ["Level", "Model"]],
        }
        self.instruments.handler_metrics("noop", "1.0", [hit, {**hit, "name": "Undeclared"}])
        self.assertEqual(self.samples(), ['HandlerTime{ModelName="noop",Level="Model",Hostname="vm",} 3.5'])

    def test_every_declared_metric_has_help_and_type(self) -> None:
        text = self.instruments.scrape().decode()
        for declaration in (*load().server, *load().model):
            self.assertIn(
                f"# HELP {declaration.name} Torchserve prometheus {declaration.kind} metric"
                f" with unit: {declaration.unit}\n# TYPE {declaration.name} {declaration.kind}\n",
                text,
            )

    def test_registry_has_the_same_metrics(self) -> None:
        self.server.serve()
        told = [metric.name for metric in self.instruments.registry().collect()]
        self.assertEqual(len(told), self.instruments.scrape().decode().count("# TYPE"))


class DeclaredTests(SynchronousTestCase):
    """What metrics.yaml says is what is kept."""

    def test_nothing_is_declared(self) -> None:
        server = Server(declarations=Declarations())
        server.serve()
        server.instruments.worker_loaded("noop", "1.0", "9000", 1.0)
        self.assertEqual([line for line in server.scrape() if not line.startswith("modelserver_")], [])

    def test_other_names_of_dimensions(self) -> None:
        server = Server(
            declarations=parse(
                "ts_metrics: {counter: [{name: Requests2XX, unit: Count, dimensions: [Where, Host]}]}"
            )
        )
        server.serve()
        self.assertEqual(server.scrape("Requests2XX"), ['Requests2XX{Where="Host",Host="vm",} 1.0'])

    def test_histograms_observe_every_value(self) -> None:
        server = Server(declarations=parse(HISTOGRAMS))
        server.serve()
        server.serve()
        self.assertEqual(
            server.scrape("QueueTime_count", "QueueTime_sum", "ts_inference_latency_microseconds_count"),
            [
                'QueueTime_count{Level="Host",Hostname="vm",} 2.0',
                'QueueTime_sum{Level="Host",Hostname="vm",} 124.0',
                'ts_inference_latency_microseconds_count{model="noop",version="default",Hostname="vm",} 2.0',
            ],
        )

    def test_histograms_in_the_log_have_a_line_for_every_value(self) -> None:
        server = Server(LOG, parse(HISTOGRAMS))
        server.serve()
        server.serve()
        self.assertEqual(
            server.logged(),
            [
                "ts_inference_latency_microseconds.us:500000.0|#model:noop,version:default",
                "QueueTime.Milliseconds:62.0|#Level:Host",
            ]
            * 2,
        )

    def test_wrong_number_of_dimensions_is_told(self) -> None:
        wrong = "ts_metrics: {gauge: [{name: QueueTime, unit: Milliseconds, dimensions: [Hostname]}]}"
        with capturedLogs() as events:
            server = Server(declarations=parse(wrong))
        server.serve()
        self.assertEqual(events[0]["metric"], "QueueTime")
        self.assertEqual(server.scrape("QueueTime"), [])

    def test_name_that_prometheus_refuses_is_told(self) -> None:
        with capturedLogs() as events:
            server = Server(
                declarations=parse(
                    "ts_metrics: {gauge: [{name: my-own, unit: Count, dimensions: [Hostname]}]}"
                )
            )
        self.assertEqual(events[0]["metric"], "my-own")
        self.assertNotIn(b"my-own", server.instruments.scrape())


class OwnMetricsTests(SynchronousTestCase):
    """Histograms, and gauges that are read at a scrape."""

    def setUp(self) -> None:
        self.server = Server(LOG)
        self.instruments = self.server.instruments

    def test_batches_that_came_together_count_each(self) -> None:
        self.instruments.batches_finished("noop", "1.0", 4, 4, 0.5, 1.0)
        for short, total in (("handler_seconds", 0.5), ("batch_wait_seconds", 0.5), ("batch_size", 4.0)):
            name = f"modelserver_{short}"
            lines = self.server.scrape(f"{name}_count", f"{name}_sum")
            self.assertEqual([line.rpartition(" ")[2] for line in lines], ["4.0", str(total)], name)

    def test_histograms(self) -> None:
        self.server.serve()
        self.instruments.jobs_finished("noop", "1.0", [finished_job(0.0625, "1.0")], 2.0)
        self.instruments.batches_finished("noop", "1.0", 1, 8, 0.25, 0.375)
        for short, count, total in (
            ("queue_seconds", 2, 0.125),
            ("request_seconds", 2, 2.5),
            ("handler_seconds", 2, 0.5),
            ("batch_wait_seconds", 2, 0.25),
            ("batch_size", 2, 9.0),
        ):
            name = f"modelserver_{short}"
            self.assertEqual(
                self.server.scrape(f"{name}_count", f"{name}_sum"),
                [f"{name}_count{{{NOOP}}} {count}.0", f"{name}_sum{{{NOOP}}} {total}"],
            )
        self.assertIn(
            f'modelserver_batch_size_bucket{{{NOOP}le="4.0",}} 1.0',
            self.server.scrape("modelserver_batch_size_bucket"),
        )

    def test_gauges_are_what_the_registry_says(self) -> None:
        draining = evolve(WORKER, id="9001", state=WorkerState.DRAINING, pid=42, memory=1024)
        template = WorkerDescription("template", WorkerState.READY, START_OF_TIME, pid=43)
        self.server.versions = [
            VersionDescription(
                make_spec("noop"),
                True,
                (WORKER, draining),
                waiting=3,
                waiting_bytes=300,
                in_flight=2,
                template=template,
            )
        ]
        self.instruments.memory_sampled(Sample(memory={41: 512, 43: 99}))
        self.assertEqual(
            [line for line in self.server.scrape() if line.startswith("modelserver_")],
            [
                f"modelserver_queue_depth{{{NOOP}}} 3.0",
                f"modelserver_queue_bytes{{{NOOP}}} 300.0",
                f"modelserver_in_flight_requests{{{NOOP}}} 2.0",
                f'modelserver_workers{{{NOOP}state="ready",}} 1.0',
                f'modelserver_workers{{{NOOP}state="draining",}} 1.0',
                f"modelserver_wanted_workers{{{NOOP}}} 0.0",
                f'modelserver_worker_memory_bytes{{{NOOP}worker="9000",}} 512.0',
                f'modelserver_worker_memory_bytes{{{NOOP}worker="9001",}} 1024.0',
                f"modelserver_template_memory_bytes{{{NOOP}}} 99.0",
            ],
        )

    def test_bytes_of_gpus_as_workers_and_the_driver_tell_them(self) -> None:
        held = evolve(WORKER, gpu_memory=GpuMemory(100, 300, 200))
        other = evolve(WORKER, id="9001", pid=42)
        self.server.versions = [VersionDescription(make_spec("noop"), True, (held, other))]
        self.instruments.memory_sampled(Sample(gpu_memory={41: 450, 1: 7}))
        name = "modelserver_worker_gpu_memory_bytes"
        kinds = {"allocated": 100, "reserved": 300, "peak": 200, "driver": 450}
        self.assertEqual(
            [line for line in self.server.scrape() if line.startswith(name)],
            [f'{name}{{{NOOP}worker="9000",kind="{kind}",}} {size}.0' for kind, size in kinds.items()],
        )

    def test_counters(self) -> None:
        self.instruments.worker_restarted("noop", "1.0")
        self.instruments.job_retried("noop", "1.0")
        self.instruments.job_retried("noop", "1.0")
        self.assertEqual(
            self.server.scrape("modelserver_worker_restarts_total", "modelserver_job_retries_total"),
            [
                f"modelserver_worker_restarts_total{{{NOOP}}} 1.0",
                f"modelserver_job_retries_total{{{NOOP}}} 2.0",
            ],
        )

    def test_what_autoscale_decides_is_counted(self) -> None:
        settings = Autoscaling(enabled=True)
        spec = make_spec("noop", autoscaling=settings, workers=WorkerRange(0, 8))
        self.server.versions = [
            VersionDescription(spec, True, (WORKER,), scaling=ScalingDescription(settings, wanted=3))
        ]
        self.instruments.scale_decided("noop", "1.0", "load")
        self.instruments.scale_decided("noop", "1.0", "load")
        self.instruments.woken("noop", "1.0", 0.07)
        self.assertEqual(
            self.server.scrape(
                "modelserver_wanted_workers",
                "modelserver_scale_decisions_total",
                "modelserver_cold_start_seconds_count",
                "modelserver_cold_start_seconds_sum",
            ),
            [
                f'modelserver_scale_decisions_total{{{NOOP}reason="load",}} 2.0',
                f"modelserver_cold_start_seconds_count{{{NOOP}}} 1.0",
                f"modelserver_cold_start_seconds_sum{{{NOOP}}} 0.07",
                f"modelserver_wanted_workers{{{NOOP}}} 3.0",
            ],
        )

    def test_names_that_no_model_has_make_no_series(self) -> None:
        self.instruments.refused("noop", "job_queue_size")
        for number in range(50):
            self.instruments.refused(f"made-up-{number}", "model_not_found")
        self.assertEqual(
            self.server.scrape("modelserver_refusals_total"),
            [
                'modelserver_refusals_total{model="noop",cause="job_queue_size",} 1.0',
                'modelserver_refusals_total{model="",cause="model_not_found",} 50.0',
            ],
        )


class ReadableTests(SynchronousTestCase):
    """The client library can read every scrape."""

    def served(self, mode: str) -> Server:
        server = Server(mode)
        server.serve()
        server.instruments.refused("noop", "deadline")
        server.instruments.worker_loaded("noop", "1.0", "9000", 2.0)
        server.instruments.worker_restarted("noop", "1.0")
        server.instruments.job_retried("noop", "1.0")
        server.instruments.host_sampled(
            [HostValue("CPUUtilization", 1.0), HostValue("GPUMemoryUsed", 1.0, 0)]
        )
        server.versions = [VersionDescription(make_spec("noop"), True, (WORKER,), template=WORKER)]
        return server

    def test_client_library_reads_it(self) -> None:
        for mode in (LOG, PROMETHEUS, LEGACY):
            text = self.served(mode).instruments.scrape().decode()
            families = list(text_string_to_metric_families(text))
            self.assertEqual(len(families), text.count("# TYPE"))
