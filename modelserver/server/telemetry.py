"""What a server tells of itself: its log files, its metrics, and the samples of its host."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define, field
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import globalLogPublisher

import modelserver
from modelserver.config.settings import Settings
from modelserver.core.registry import Registry
from modelserver.interfaces import CommandRunner, InThread, Inventory
from modelserver.logs.writer import LogInputs, Logs, LogSettings
from modelserver.management.descriptions import Facts, describe_version
from modelserver.metrics.command_sampler import CommandSampler, SamplingCommand
from modelserver.metrics.declarations import DEFAULT_FILE, load_or_none, of_multi_model_server
from modelserver.metrics.host_sampler import HostSampler, Probe
from modelserver.metrics.recorder import MetricsInputs, MetricsRecorder, MetricsSettings

LINES_EVERY = 1.0
"""Seconds between two times that metrics are written to their log files."""
PEERS_SAMPLER = "ts/metrics/metric_collector.py"
"""TorchServe's own ``system_metrics_cmd``: what it samples, this server samples itself."""


def open_logs(settings: Settings, reactor: PosixReactorBase, to_console: bool) -> Logs:
    """
    The log files, not opened yet.

    :param to_console: every line goes to standard output, too, as with the peers' launchers.
    """
    return Logs(
        LogSettings(
            settings.log_folder,
            settings.metrics_log_folder,
            settings.dialect,
            settings.log_format == "json",
        ),
        LogInputs(reactor, time.time, reactor.callFromThread, sys.__stdout__ if to_console else None),
    )


def make_instruments(settings: Settings, registry: Registry, logs: Logs) -> MetricsRecorder:
    """The metrics, with what they are read from."""
    is_mms = settings.dialect == "mms"
    declarations = (
        of_multi_model_server() if is_mms else load_or_none(settings.metrics_config or DEFAULT_FILE)
    )
    inputs = MetricsInputs(
        time.time,
        lambda: [describe_version(each, registry.is_default(each), Facts()) for each in registry.all()],
        registry.has,
        logs.server_metric,
        logs.model_metric,
    )
    mode = MetricsSettings(
        declarations,
        settings.metrics_mode,
        settings.model_metrics_auto_detect,
        socket.gethostname(),
        settings.dialect,
    )
    return MetricsRecorder(mode, inputs)


def sampling_command(settings: Settings, environment: Mapping[str, str]) -> SamplingCommand | None:
    """The operator's sampler of the host, or None where the server samples it itself, or nobody does."""
    words = settings.system_metrics_cmd.split()
    if settings.disable_system_metrics or not words or words[0] == PEERS_SAMPLER:
        return None
    return SamplingCommand(
        (str(settings.worker_python or sys.executable), *words),
        dict(environment),
        str(Path(modelserver.__file__).parent.parent),
        settings.metric_time_interval,
    )


@define(eq=False)
class Telemetry(MultiService):
    """
    Runs what is written and sampled at intervals.

    :param commands: run the operator's sampler.
    :param environment: its environment variables.
    """

    settings: Settings
    reactor: PosixReactorBase
    logs: Logs
    instruments: MetricsRecorder
    registry: Registry
    inventory: Inventory
    in_thread: InThread
    commands: CommandRunner
    environment: Mapping[str, str]
    _command: CommandSampler | None = field(default=None, init=False)
    _sampler: HostSampler = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        program = sampling_command(self.settings, self.environment)
        if program is not None:
            self._command = CommandSampler(program, self.commands, self.reactor, self._pids, self.instruments)
        probe = Probe(self.inventory, not self.settings.disable_system_metrics and program is None)
        self._sampler = HostSampler(
            probe.sample,
            self.settings.metric_time_interval,
            self.reactor,
            self.in_thread,
            self._pids,
            self.instruments,
        )
        self._every(LINES_EVERY, self.instruments.write_lines)

    def _every(self, seconds: float, call: Callable[[], object]) -> None:
        service = TimerService(seconds, call)  # type: ignore[no-untyped-call]  # Twisted's
        service.clock = self.reactor
        service.setServiceParent(self)  # type: ignore[no-untyped-call]  # Twisted's

    def _pids(self) -> Sequence[int]:
        workers = [worker for version in self.registry.all() for worker in version.pool.workers]
        return [worker.pid for worker in workers if worker.pid is not None]

    def startService(self) -> None:
        """Open the files and begin."""
        self.logs.open()
        globalLogPublisher.addObserver(self.logs.observer)
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        self._sampler.start()
        if self._command is not None:
            self._command.start()

    def end(self) -> None:
        """Write what is left, and close the files; the last thing that a server does."""
        self._sampler.stop()
        if self._command is not None:
            self._command.stop()
        self.instruments.write_lines()
        globalLogPublisher.removeObserver(self.logs.observer)
        self.logs.close()
