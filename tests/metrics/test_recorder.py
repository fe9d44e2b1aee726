"""The recorder: what is counted, where the modes send it, and what Prometheus says about it."""

from __future__ import annotations

from attrs import evolve
from prometheus_client.parser import text_string_to_metric_families
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from modelserver.interfaces import Recorder
from modelserver.jobs import Job
from modelserver.metrics.command_sampler import parse_line
from modelserver.metrics.declarations import Declarations, load, of_multi_model_server, parse
from modelserver.metrics.host_sampler import HostValue
from modelserver.metrics.log_lines import MetricLine, as_text
from modelserver.metrics.recorder import (
    LEGACY,
    LOG,
    PROMETHEUS,
    MetricsInputs,
    MetricsRecorder,
    MetricsSettings,
)
from modelserver.spec import VersionDescription, WorkerDescription
from modelserver.testing import START_OF_TIME, make_job, make_spec

NOOP = 'model="noop",version="1.0",'
WORKER = WorkerDescription("9000", "ready", START_OF_TIME, pid=41)
HISTOGRAMS = """
ts_metrics:
  histogram:
    - {name: QueueTime, unit: Milliseconds, dimensions: [Level, Hostname]}
    - {name: ts_inference_latency_microseconds, unit: us, dimensions: [model, version, Hostname]}
"""


class Server:
    """MetricsRecorder with a host and a registry of their own, all in memory."""

    def __init__(
        self,
        mode: str = PROMETHEUS,
        declarations: Declarations | None = None,
        dialect: str = "torchserve",
        auto_detect: bool = False,
    ) -> None:
        self.versions: list[VersionDescription] = []
        self.server_lines: list[MetricLine] = []
        self.model_lines: list[MetricLine] = []
        settings = MetricsSettings(
            load() if declarations is None else declarations, mode, auto_detect, "vm", dialect
        )
        inputs = MetricsInputs(
            lambda: START_OF_TIME,
            lambda: self.versions,
            lambda name: name == "noop",
            self.server_lines.append,
            self.model_lines.append,
        )
        self.instruments = MetricsRecorder(settings, inputs)

    def scrape(self, *names: str) -> list[str]:
        """The samples at the endpoint."""
        lines = self.instruments.scrape(names).decode().splitlines()
        return [line for line in lines if not line.startswith("#")]

    def logged(self) -> list[str]:
        """The lines of the server's log since the last time."""
        self.instruments.write_lines()
        lines, self.server_lines[:] = [as_text(line) for line in self.server_lines], []
        return [line.replace(f"|#hostname:vm,timestamp:{int(START_OF_TIME)}", "") for line in lines]

    def serve(self, version: str | None = None) -> None:
        """One request, in a batch of its own."""
        recorder: Recorder = self.instruments
        recorder.request_arrived("noop", version)
        recorder.batches_finished("noop", "1.0", 1, 1, 0.25, 0.375)
        recorder.jobs_finished("noop", "1.0", [finished_job(0.0625)], 0.5)
        recorder.answered(200)


def finished_job(queued: float, asked: str | None = None) -> Job:
    """A job that arrived when the clock began, and waited ``queued`` seconds."""
    job = make_job()
    job.assigned, job.asked = queued, asked
    return job


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


class ModesTests(SynchronousTestCase):
    """The mode decides between endpoint and log; this server's own metrics are at the endpoint always."""

    LINES = (
        "Requests2XX.Count:{n}.0|#Level:Host",
        "ts_inference_requests_total.Count:{n}.0|#model_name:noop,model_version:default",
        "ts_inference_latency_microseconds.Microseconds:{l}.0|#model_name:noop,model_version:default",
        "ts_queue_latency_microseconds.Microseconds:{q}.0|#model_name:noop,model_version:default",
        "QueueTime.Milliseconds:62.0|#Level:Host",
        "WorkerThreadTime.Milliseconds:125.0|#Level:Host",
    )

    def lines(self, requests: int) -> list[str]:
        return [line.format(n=requests, l=500000 * requests, q=62500 * requests) for line in self.LINES]

    def test_log(self) -> None:
        server = Server(LOG)
        server.serve()
        self.assertEqual(server.logged(), self.lines(1))
        self.assertEqual([line for line in server.scrape() if not line.startswith("modelserver_")], [])
        self.assertIn(f"modelserver_queue_seconds_count{{{NOOP}}} 1.0", server.scrape())

    def test_lines_of_the_log_add_up(self) -> None:
        server = Server(LOG)
        server.serve()
        server.logged()
        server.serve()
        server.serve()
        self.assertEqual(server.logged(), self.lines(2))
        self.assertEqual(server.logged(), [])

    def test_prediction_time_goes_to_the_model_log(self) -> None:
        server = Server(LOG)
        server.serve()
        server.instruments.write_lines()
        self.assertEqual(
            [as_text(line) for line in server.model_lines],
            [
                "PredictionTime.ms:250.0|#ModelName:noop,Level:Model"
                f"|#hostname:vm,timestamp:{int(START_OF_TIME)}"
            ],
        )

    def test_prediction_time_that_is_not_declared_is_detected(self) -> None:
        declarations = Declarations((), ())
        for auto_detect, wanted in ((False, []), (True, ["PredictionTime"])):
            logging = Server(LOG, declarations, auto_detect=auto_detect)
            logging.serve()
            logging.instruments.write_lines()
            self.assertEqual([as_text(line).partition(".")[0] for line in logging.model_lines], wanted)
            exposing = Server(PROMETHEUS, declarations, auto_detect=auto_detect)
            exposing.serve()
            samples = [line.partition("{")[0] for line in exposing.scrape()]
            self.assertEqual([name for name in samples if not name.startswith("modelserver_")], wanted)

    def test_prometheus_writes_no_line(self) -> None:
        server = Server(PROMETHEUS)
        server.serve()
        self.assertEqual(server.logged(), [])
        self.assertEqual(server.model_lines, [])

    def test_legacy(self) -> None:
        server = Server(LEGACY)
        server.serve()
        at_endpoint = [
            line.partition("{")[0] for line in server.scrape() if not line.startswith("modelserver_")
        ]
        self.assertEqual(
            at_endpoint,
            [
                "ts_inference_requests_total",
                "ts_inference_latency_microseconds",
                "ts_queue_latency_microseconds",
            ],
        )
        self.assertEqual(server.logged(), [line for line in self.lines(1) if not line.startswith("ts_")])

    def test_load_time_in_the_log(self) -> None:
        server = Server(LOG)
        server.instruments.worker_loaded("noop", "1.0", "9000", 2.815)
        self.assertEqual(
            server.logged(), ["WorkerLoadTime.Milliseconds:2815.0|#WorkerName:W-9000-noop_1.0,Level:Host"]
        )

    def test_multi_model_server(self) -> None:
        server = Server(LOG, of_multi_model_server(), "mms")
        server.serve()
        server.instruments.worker_loaded("a" * 40, "1.0", "9000", 0.161)
        server.instruments.handler_metrics(
            "noop", "1.0", [{"name": "Hits", "value": 2, "unit": "Count", "request_id": "r1", "timestamp": 7}]
        )
        self.assertEqual(
            server.logged(), [f"W-9000-{'a' * 25}.ms:161|#Level:Host", "Requests2XX.Count:1|#Level:Host"]
        )
        self.assertEqual(
            [as_text(line).partition("|#hostname")[0] for line in server.model_lines],
            ["Hits.Count:2|#", "PredictionTime.Milliseconds:250.0|#ModelName:noop,Level:Model"],
        )


class ReportedTests(SynchronousTestCase):
    """What the operator's own sampler tells stands where the server's samples would."""

    def report(self, server: Server, *lines: str) -> None:
        for line in lines:
            value = parse_line(f"{line},1700000000")
            assert value is not None
            server.instruments.reported(value)

    def test_at_the_endpoint(self) -> None:
        server = Server(PROMETHEUS)
        self.report(
            server,
            "CPUUtilization.Percent:1|#Level:Host|#hostname:vm",
            "CPUUtilization.Percent:2.5|#Level:Host|#hostname:vm",
            "GPUUtilization.Percent:7|#Level:Host,DeviceId:0|#hostname:vm",
            "MemoryUsed.Bananas:5|#Other:Pod|#hostname:node-1",
        )
        self.assertEqual(
            [line for line in server.scrape() if not line.startswith("modelserver_")],
            [
                'CPUUtilization{Level="Host",Hostname="vm",} 2.5',
                'MemoryUsed{Level="Pod",Hostname="node-1",} 5.0',
                'GPUUtilization{Level="Host",DeviceId="0",Hostname="vm",} 7.0',
            ],
        )

    def test_in_the_log(self) -> None:
        server = Server(LOG)
        self.report(
            server,
            "CPUUtilization.Percent:2.5|#Level:Host|#hostname:vm",
            "Requests2XX.Count:1000|#Level:Host|#hostname:elsewhere",
        )
        server.instruments.write_lines()
        now = int(START_OF_TIME)
        self.assertEqual(
            sorted(as_text(line) for line in server.server_lines),
            [
                f"CPUUtilization.Percent:2.5|#Level:Host|#hostname:vm,timestamp:{now}",
                f"Requests2XX.Count:1000.0|#Level:Host|#hostname:elsewhere,timestamp:{now}",
            ],
        )

    def test_what_is_not_declared_is_told_once(self) -> None:
        server = Server(PROMETHEUS)
        with capturedLogs() as events:
            for _ in range(2):
                self.report(
                    server,
                    "Mine.Count:1|#Level:Host|#hostname:vm",
                    "DiskUsage.Gigabytes:7|#Level:Host,Extra:1|#hostname:vm",
                )
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "Metric Mine with 1 dimensions is not declared in ts_metrics",
                "Metric DiskUsage with 2 dimensions is not declared in ts_metrics",
            ],
        )
        self.assertEqual([line for line in server.scrape() if "Mine" in line or "Disk" in line], [])

    def test_memory_of_gpus_is_this_servers_metric_too(self) -> None:
        server = Server(LOG)
        self.report(server, "GPUMemoryUsed.Megabytes:2|#Level:Host,DeviceId:1|#hostname:vm")
        self.assertIn('modelserver_gpu_memory_bytes{gpu="1",} 2097152.0', server.scrape())


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
        busy = evolve(WORKER, id="9001", state="busy", pid=42, memory=1024)
        template = WorkerDescription("template", "ready", START_OF_TIME, pid=43)
        self.server.versions = [
            VersionDescription(
                make_spec("noop"),
                True,
                (WORKER, busy),
                waiting=3,
                waiting_bytes=300,
                in_flight=2,
                template=template,
            )
        ]
        self.instruments.memory_sampled({41: 512, 43: 99})
        self.assertEqual(
            [line for line in self.server.scrape() if line.startswith("modelserver_")],
            [
                f"modelserver_queue_depth{{{NOOP}}} 3.0",
                f"modelserver_queue_bytes{{{NOOP}}} 300.0",
                f"modelserver_in_flight_requests{{{NOOP}}} 2.0",
                f'modelserver_workers{{{NOOP}state="ready",}} 1.0',
                f'modelserver_workers{{{NOOP}state="busy",}} 1.0',
                f'modelserver_worker_memory_bytes{{{NOOP}worker="9000",}} 512.0',
                f'modelserver_worker_memory_bytes{{{NOOP}worker="9001",}} 1024.0',
                f"modelserver_template_memory_bytes{{{NOOP}}} 99.0",
            ],
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
