"""What TorchServe 0.12 exposes, recorded from it, and what is exposed here for the same requests."""

from __future__ import annotations

import re
import shutil
import subprocess
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from modelserver.metrics.declaration_files import load
from modelserver.metrics.host_sampler import HostValue
from modelserver.metrics.recorder import (
    LEGACY,
    LOG,
    PROMETHEUS,
    MetricsInputs,
    MetricsRecorder,
    MetricsSettings,
)
from modelserver.spec import VersionDescription, WorkerDescription, WorkerState
from modelserver.testing.providers import START_OF_TIME, make_job, make_spec

COUNTERS = "Requests2XX Requests4XX Requests5XX"
LATENCIES = "ts_inference_latency_microseconds ts_queue_latency_microseconds"
HELP = (
    ("counter", "Count", f"{COUNTERS} ts_inference_requests_total"),
    ("counter", "Microseconds", LATENCIES),
    ("gauge", "Milliseconds", "QueueTime WorkerThreadTime WorkerLoadTime"),
    ("gauge", "Percent", "CPUUtilization MemoryUtilization DiskUtilization"),
    ("gauge", "Percent", "GPUMemoryUtilization GPUUtilization"),
    ("gauge", "Megabytes", "MemoryUsed MemoryAvailable GPUMemoryUsed"),
    ("gauge", "Gigabytes", "DiskUsage DiskAvailable"),
    ("gauge", "ms", "HandlerTime PredictionTime"),
)
"""Type and unit of each metric with ``metrics_mode=prometheus`` and nothing else configured."""

SAMPLES = """
CPUUtilization{Level="Host",Hostname="vm",}
DiskAvailable{Level="Host",Hostname="vm",}
DiskUsage{Level="Host",Hostname="vm",}
DiskUtilization{Level="Host",Hostname="vm",}
MemoryAvailable{Level="Host",Hostname="vm",}
MemoryUsed{Level="Host",Hostname="vm",}
MemoryUtilization{Level="Host",Hostname="vm",}
PredictionTime{ModelName="echo",Level="Model",Hostname="vm",}
QueueTime{Level="Host",Hostname="vm",}
Requests2XX{Level="Host",Hostname="vm",}
Requests4XX{Level="Host",Hostname="vm",}
WorkerLoadTime{WorkerName="W-9000-echo_1.0",Level="Host",Hostname="vm",}
WorkerThreadTime{Level="Host",Hostname="vm",}
ts_inference_latency_microseconds{model_name="echo",model_version="1.0",hostname="vm",}
ts_inference_latency_microseconds{model_name="echo",model_version="default",hostname="vm",}
ts_inference_requests_total{model_name="echo",model_version="1.0",hostname="vm",}
ts_inference_requests_total{model_name="echo",model_version="default",hostname="vm",}
ts_queue_latency_microseconds{model_name="echo",model_version="1.0",hostname="vm",}
ts_queue_latency_microseconds{model_name="echo",model_version="default",hostname="vm",}
"""
"""
The samples, without their values, after a prediction without a version, one with it, and a 404.

There was one worker, and no GPU. The mode ``legacy`` has those of ``ts_``, the mode ``log`` none.
"""

COMPLAINTS = """
DiskAvailable metric names should be written in 'snake_case' not 'camelCase'
DiskUsage metric names should be written in 'snake_case' not 'camelCase'
DiskUtilization metric names should be written in 'snake_case' not 'camelCase'
MemoryAvailable metric names should be written in 'snake_case' not 'camelCase'
MemoryUsed metric names should be written in 'snake_case' not 'camelCase'
MemoryUtilization metric names should be written in 'snake_case' not 'camelCase'
PredictionTime label names should be written in 'snake_case' not 'camelCase'
PredictionTime metric names should be written in 'snake_case' not 'camelCase'
QueueTime metric names should be written in 'snake_case' not 'camelCase'
Requests2XX counter metrics should have "_total" suffix
Requests4XX counter metrics should have "_total" suffix
WorkerLoadTime label names should be written in 'snake_case' not 'camelCase'
WorkerLoadTime metric names should be written in 'snake_case' not 'camelCase'
WorkerThreadTime metric names should be written in 'snake_case' not 'camelCase'
ts_inference_latency_microseconds counter metrics should have "_total" suffix
ts_inference_latency_microseconds use base unit "seconds" instead of "microseconds"
ts_queue_latency_microseconds counter metrics should have "_total" suffix
ts_queue_latency_microseconds use base unit "seconds" instead of "microseconds"
"""
"""What ``promtool check metrics`` (2.42) says of TorchServe's exposition: all of it is about its names."""

HOST = (
    *("CPUUtilization", "DiskAvailable", "DiskUsage", "DiskUtilization"),
    *("MemoryAvailable", "MemoryUsed", "MemoryUtilization"),
)


def exposed(mode: str) -> str:
    """The exposition here after what the samples tell, and after whatever our own metrics count."""
    worker = WorkerDescription("9000", WorkerState.READY, START_OF_TIME, pid=41)
    described = VersionDescription(make_spec("echo"), True, (worker,), template=worker)
    inputs = MetricsInputs(
        lambda: START_OF_TIME, lambda: [described], lambda name: True, lambda line: None, lambda line: None
    )
    instruments = MetricsRecorder(MetricsSettings(load(), mode, hostname="vm"), inputs)
    instruments.worker_loaded("echo", "1.0", "9000", 3.1)
    instruments.host_sampled([HostValue(name, 1.5) for name in HOST])
    for version in (None, "1.0"):
        instruments.request_arrived("echo", version)
        job = make_job(asked=version)
        job.assigned = 0.0
        instruments.batches_finished("echo", "1.0", 1, 1, 0.001, 0.002)
        instruments.jobs_finished("echo", "1.0", [job], 0.003)
        instruments.answered(200)
    instruments.answered(404)
    instruments.refused("echo", "deadline")
    instruments.worker_restarted("echo", "1.0")
    instruments.job_retried("echo", "1.0")
    return instruments.scrape().decode("ascii")


def peers_lines(text: str) -> list[str]:
    """The lines that are not of our own metrics, samples without their values."""
    lines = [line for line in text.splitlines() if "modelserver_" not in line]
    return sorted(re.sub(r" \S+$", "", line) if line[0] != "#" else line for line in lines)


def recorded(wanted: str) -> list[str]:
    """The lines of TorchServe for the metrics whose names begin so."""
    lines = [line for line in SAMPLES.split("\n") if line]
    for kind, unit, names in HELP:
        for name in names.split():
            lines += [
                f"# HELP {name} Torchserve prometheus {kind} metric with unit: {unit}",
                f"# TYPE {name} {kind}",
            ]
    return sorted(
        line for line in lines if line.removeprefix("# HELP ").removeprefix("# TYPE ").startswith(wanted)
    )


class PeerExpositionTests(SynchronousTestCase):
    """Names, types, help texts and labels are TorchServe's, in each mode."""

    def test_prometheus(self) -> None:
        self.assertEqual(peers_lines(exposed(PROMETHEUS)), recorded(""))

    def test_legacy(self) -> None:
        self.assertEqual(peers_lines(exposed(LEGACY)), recorded("ts_"))

    def test_log(self) -> None:
        self.assertEqual(peers_lines(exposed(LOG)), [])


class PromtoolTests(SynchronousTestCase):
    """Prometheus' linter says of our exposition what it says of TorchServe's, and no word more."""

    def complaints(self, mode: str) -> list[str]:
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool is not installed")
        done = subprocess.run(
            [promtool, "check", "metrics"],
            input=exposed(mode).encode("ascii"),
            capture_output=True,
            timeout=60,
            check=False,
        )
        said = (done.stdout + done.stderr).decode().splitlines()
        self.assertEqual(done.returncode, 3 if said else 0)
        return sorted(said)

    def test_the_default_mode_passes(self) -> None:
        self.assertEqual(self.complaints(LOG), [])

    def test_other_modes_have_the_peers_names_against_them(self) -> None:
        peers = sorted(line for line in COMPLAINTS.split("\n") if line)
        self.assertEqual(self.complaints(PROMETHEUS), peers)
        self.assertEqual(self.complaints(LEGACY), [line for line in peers if line.startswith("ts_")])
