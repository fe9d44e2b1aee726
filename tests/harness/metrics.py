"""A recorder of metrics with a host and a registry of its own, all in memory."""

from __future__ import annotations

from modelserver.interfaces import Recorder
from modelserver.jobs import Job
from modelserver.metrics.declaration_files import load
from modelserver.metrics.declarations import Declarations
from modelserver.metrics.log_lines import MetricLine, as_text
from modelserver.metrics.recorder import (
    PROMETHEUS,
    MetricsInputs,
    MetricsRecorder,
    MetricsSettings,
)
from modelserver.spec import VersionDescription, WorkerDescription, WorkerState
from modelserver.testing.providers import START_OF_TIME, make_job

NOOP = 'model="noop",version="1.0",'
WORKER = WorkerDescription("9000", WorkerState.READY, START_OF_TIME, pid=41)


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
        self.told: list[int] = []
        """How many lines of handlers there were, each time when they were said to be complete."""
        settings = MetricsSettings(
            load() if declarations is None else declarations, mode, auto_detect, "vm", dialect
        )
        inputs = MetricsInputs(
            lambda: START_OF_TIME,
            lambda: self.versions,
            lambda name: name == "noop",
            self.server_lines.append,
            self.model_lines.append,
            lambda: self.told.append(len(self.model_lines)),
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
    job = make_job(asked=asked)
    job.assigned = queued
    return job
