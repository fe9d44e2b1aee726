"""What a server tells of itself: its log files, its metrics, and the samples of its host."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.application.internet import TimerService
from twisted.application.service import MultiService
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import globalLogPublisher

from modelserver.config.settings import Settings
from modelserver.core.registry import Registry
from modelserver.descriptions import Facts, describe_version
from modelserver.interfaces import InThread, Inventory
from modelserver.logs import Logs, LogSettings, LogSurroundings
from modelserver.metrics.declarations import DEFAULT_FILE, load_or_none, of_multi_model_server
from modelserver.metrics.host import HostSampler, Probe
from modelserver.metrics.instruments import Around, Instruments, MetricsSettings

LINES_EVERY = 1.0
"""Seconds between two times that metrics are written to their log files."""


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
        LogSurroundings(reactor, time.time, reactor.callFromThread, sys.__stdout__ if to_console else None),
    )


def make_instruments(settings: Settings, registry: Registry, logs: Logs) -> Instruments:
    """The metrics, with what they are read from."""
    is_mms = settings.dialect == "mms"
    declarations = (
        of_multi_model_server() if is_mms else load_or_none(settings.metrics_config or DEFAULT_FILE)
    )
    around = Around(
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
    return Instruments(mode, around)


@define(eq=False)
class Observation(MultiService):
    """Runs what is written and sampled at intervals."""

    settings: Settings
    reactor: PosixReactorBase
    logs: Logs
    instruments: Instruments
    registry: Registry
    inventory: Inventory
    in_thread: InThread
    _sampler: HostSampler = field(init=False)

    def __attrs_post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Twisted's
        probe = Probe(self.inventory, not self.settings.disable_system_metrics)
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

    def end(self) -> None:
        """Write what is left, and close the files; the last thing that a server does."""
        self._sampler.stop()
        self.instruments.write_lines()
        globalLogPublisher.removeObserver(self.logs.observer)
        self.logs.close()
