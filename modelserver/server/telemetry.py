"""Builds and runs the telemetry of a server: log files, metrics, and the samplers of its host."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from attrs import field
from twisted.application.service import MultiService
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import globalLogPublisher

from modelserver.config.settings import Settings
from modelserver.core.registry import Registry
from modelserver.dialect_rules import DIALECTS
from modelserver.language.attributes import define
from modelserver.logs.console import Console
from modelserver.logs.writer import LogInputs, Logs, LogSettings
from modelserver.management.descriptions import Facts, describe_version
from modelserver.metrics.command_sampler import CommandSampler, SamplingCommand
from modelserver.metrics.declarations import Declarations
from modelserver.metrics.default_declarations import DEFAULT, OF_MULTI_MODEL_SERVER
from modelserver.metrics.host_sampler import HostSampler, Probe
from modelserver.metrics.recorder import PROMETHEUS, MetricsInputs, MetricsRecorder, MetricsSettings
from modelserver.server.repeating import Repeating
from modelserver.server.resources import Runtime
from modelserver.system.installation import ROOT

LINES_EVERY = 1.0
"""Seconds between two times that metrics are written to their log files."""
SAMPLES_AFTER = 0.5
"""Seconds from the start to the first sample of the host: its thread would slow the start down by loading
psutil meanwhile."""
PEERS_SAMPLER = "ts/metrics/metric_collector.py"
"""TorchServe's own ``system_metrics_cmd``: what it samples, this server samples itself."""


def open_logs(
    settings: Settings, reactor: PosixReactorBase, to_console: bool, trace_id: Callable[[], str] = str
) -> Logs:
    """
    Make the log files, without opening them.

    :param trace_id: returns the id of the present request's trace, or nothing.
    :param to_console: every line goes to standard output, too, as with TorchServe's launcher.
    """
    return Logs(
        LogSettings(
            folder=settings.log_folder,
            metrics_folder=settings.metrics_log_folder,
            dialect=settings.dialect,
            is_json=settings.log_format == "json",
            access_format=settings.access_log_format or "",
        ),
        LogInputs(
            clock=reactor,
            now=time.time,
            from_thread=reactor.callFromThread,
            console=Console(sys.__stdout__.fileno()) if to_console and sys.__stdout__ is not None else None,
            trace_id=trace_id,
        ),
    )


def make_recorder(
    settings: Settings, registry: Registry, logs: Logs, spans: Callable[[], Mapping[str, int]] = dict
) -> MetricsRecorder:
    """Make the recorder of metrics; ``spans``: see ``MetricsInputs``."""
    inputs = MetricsInputs(
        now=time.time,
        versions=lambda: [
            describe_version(each, registry.is_default(each), Facts()) for each in registry.all()
        ],
        is_served=registry.has,
        write_server=logs.server_metric,
        write_model=logs.model_metric,
        model_told=logs.model_told,
        spans=spans,
    )
    mode = MetricsSettings(
        declarations=_declarations(settings),
        mode=settings.metrics_mode,
        auto_detect=settings.model_metrics_auto_detect,
        hostname=socket.gethostname(),
        dialect=settings.dialect,
    )
    return MetricsRecorder(mode, inputs)


def _declarations(settings: Settings) -> Declarations:
    if not DIALECTS[settings.dialect].declares_metrics:
        return OF_MULTI_MODEL_SERVER
    if settings.metrics_config is None:
        return DEFAULT
    # Loaded only for a file of the operator's: what reads YAML takes 15 ms of a start.
    from modelserver.metrics.declaration_files import load_or_none

    return load_or_none(settings.metrics_config)


def sampling_command(settings: Settings, environment: Mapping[str, str]) -> SamplingCommand | None:
    """Return the operator's sampler of the host, or None where the server samples it itself, or does not."""
    words = settings.system_metrics_cmd.split()
    if settings.disable_system_metrics or not words or words[0] == PEERS_SAMPLER:
        return None
    return SamplingCommand(
        command=(str(settings.worker_python or sys.executable), *words),
        environment=dict(environment),
        folder=str(ROOT),
        interval=settings.metric_time_interval,
    )


@define(eq=False, kw_only=True)
class Telemetry(MultiService):
    """
    Writes metrics to the logs and samples the host at intervals, while the server runs.

    :param registry: whose workers' memory is sampled.
    """

    settings: Settings
    runtime: Runtime
    registry: Registry
    logs: Logs
    recorder: MetricsRecorder
    _command: CommandSampler | None = field(default=None, init=False)
    _sampler: HostSampler = field(init=False)
    _first_sample: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        runtime = self.runtime
        program = sampling_command(self.settings, runtime.program_environment)
        if program is not None:
            self._command = CommandSampler(
                program=program,
                runner=runtime.commands,
                clock=runtime.reactor,
                pids=self._pids,
                observer=self.recorder,
            )
        probe = Probe(runtime.inventory, not self.settings.disable_system_metrics and program is None)
        self._sampler = HostSampler(
            take=probe.sample,
            interval=self.settings.metric_time_interval,
            clock=runtime.reactor,
            in_thread=runtime.threads.samples,
            pids=self._pids,
            observer=self.recorder,
        )
        lines = Repeating(runtime.reactor, LINES_EVERY, self.recorder.write_lines)
        lines.setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's
        if self.settings.metrics_mode != PROMETHEUS:
            self.logs.collect = self.recorder.write_lines

    def _pids(self) -> Sequence[int]:
        workers = [worker for version in self.registry.all() for worker in version.pool.workers]
        return [worker.pid for worker in workers if worker.pid is not None]

    def startService(self) -> None:
        """Open the log files, and start the samplers."""
        globalLogPublisher.addObserver(self.logs.observer)
        self.logs.open()  # after it, so that it is told why a file cannot be written
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._first_sample = self.runtime.reactor.callLater(SAMPLES_AFTER, self._sampler.start)
        if self._command is not None:
            self._command.start()

    def end(self) -> None:
        """Stop the samplers, write what is left, and close the log files; a server does this last."""
        waiting, self._first_sample = self._first_sample, None
        if waiting is not None and waiting.active():
            waiting.cancel()
        self._sampler.stop()
        if self._command is not None:
            self._command.stop()
        self.recorder.write_lines()
        globalLogPublisher.removeObserver(self.logs.observer)
        self.logs.close()
