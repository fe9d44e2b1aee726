"""Where the recorder's modes send metrics, and what handlers and the host report to it."""

from __future__ import annotations

from collections import Counter

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.command_sampler import parse_line
from modelserver.metrics.declarations import HISTOGRAM, Declaration, Declarations
from modelserver.metrics.default_declarations import OF_MULTI_MODEL_SERVER
from modelserver.metrics.log_lines import as_text
from modelserver.metrics.recorder import (
    LEGACY,
    LOG,
    PROMETHEUS,
)
from modelserver.testing.providers import START_OF_TIME
from tests.harness.metrics import NOOP, Server

TIMES = ("QueueTime", "WorkerThreadTime")


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

    def test_a_line_for_each_value_of_a_histogram(self) -> None:
        host = ("Level", "Hostname")
        server_side = [Declaration(name, HISTOGRAM, "Milliseconds", host) for name in TIMES]
        model_side = [Declaration("PredictionTime", HISTOGRAM, "ms", ("ModelName", *host))]
        server = Server(LOG, Declarations((*server_side,), (*model_side,)))
        for _ in range(3):
            server.serve()
        self.assertEqual(
            Counter({f"{name}.Milliseconds": 3 for name in TIMES}),
            Counter(line.partition(":")[0] for line in server.logged()),
        )
        self.assertEqual([250.0] * 3, [line.value for line in server.model_lines])

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

    def test_lines_of_a_handler_are_told_as_a_whole(self) -> None:
        """They are in the log before the answer leaves; those of batches come later."""
        server = Server(LOG, auto_detect=True)
        hits = [{"name": name, "value": 1, "unit": "Count", "type": "counter"} for name in ("Hits", "Misses")]
        server.instruments.handler_metrics("noop", "1.0", hits)
        self.assertEqual(server.told, [2])
        server.serve()
        server.logged()
        self.assertEqual(server.told, [2])

    def test_multi_model_server(self) -> None:
        server = Server(LOG, OF_MULTI_MODEL_SERVER, "mms")
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
