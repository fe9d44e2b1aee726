"""Builds the dashboard: what it reads, who may see it, and the configuration that it shows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from twisted.application.service import MultiService, Service
from twisted.logger import globalLogPublisher

from modelserver.config.settings import Settings
from modelserver.config.table import KEY, KEYS
from modelserver.core.registry import Registry
from modelserver.dialect_rules import DIALECTS
from modelserver.inference.predict import Inference
from modelserver.language.attributes import frozen
from modelserver.logs.recent import RecentLines
from modelserver.metrics.history import History
from modelserver.metrics.recorder import MetricsRecorder
from modelserver.rest.dashboard.assets import load_assets
from modelserver.rest.dashboard.details import ConfiguredKey
from modelserver.rest.dashboard.parts import DashboardParts
from modelserver.rest.dashboard.secrets import HIDDEN, is_secret, without_secrets
from modelserver.rest.dashboard.state import DashboardSources
from modelserver.rest.dashboard.viewers import Viewers
from modelserver.server.access_summary import is_local
from modelserver.server.resources import Runtime

_DEFAULT = "default"
_LONGEST_VALUE = 2000
"""Characters of a value that are shown."""


class LineKeeper(Service):
    """
    Keeps the last lines of the log while the server runs.

    :param lines: what is told of them.
    """

    def __init__(self, lines: RecentLines) -> None:
        self._lines = lines

    def startService(self) -> None:
        """Keep lines from now on."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted's
        globalLogPublisher.addObserver(self._lines)

    def stopService(self) -> None:
        """Leave the lines that come from now on to the log."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted's
        globalLogPublisher.removeObserver(self._lines)


@frozen(eq=False)
class Dashboard:
    """
    The dashboard of a server.

    :param service: runs while the server does.
    """

    parts: DashboardParts
    service: MultiService


def is_dashboard_served(settings: Settings, has_tokens: bool) -> bool:
    """Return whether there is a dashboard; unless configured, nobody elsewhere sees it without a token."""
    if settings.enable_dashboard is not None:
        return settings.enable_dashboard
    return has_tokens or is_local(settings.management_address)


def make_dashboard(
    settings: Settings, runtime: Runtime, registry: Registry, inference: Inference, recorder: MetricsRecorder
) -> Dashboard:
    """
    Make the dashboard. Blocks: it reads the page's files.

    :raises OSError: the package is not whole.
    """
    lines = RecentLines()
    rules = DIALECTS[settings.dialect]
    sources = DashboardSources(
        versions=recorder.inputs.versions,
        figures=recorder.figures,
        history=History(runtime.reactor, recorder.figures),
        lines=lines.since,
        now=time.time,
        started=time.time(),
        traits={
            "dialect": settings.dialect,
            "has_versions": rules.has_versions,
            "controls_models": settings.enable_model_api or not rules.can_forbid_model_control,
            "sampled_every": settings.metric_time_interval,
            "longest_request": settings.max_request_size,
        },
    )
    viewers = Viewers(sources, runtime.reactor, runtime.threads.samples, tuple(_folders(settings)))
    parts = DashboardParts(
        viewers=viewers,
        registry=registry,
        inference=inference,
        assets=load_assets(),
        in_thread=runtime.threads.files,
        store=settings.model_store,
        configuration=tuple(configuration_in_force(settings)),
    )
    service = MultiService()  # type: ignore[no-untyped-call]  # Twisted's
    for each in (viewers, LineKeeper(lines)):
        each.setServiceParent(service)  # type: ignore[no-untyped-call]  # Twisted's
    return Dashboard(parts, service)


def _folders(settings: Settings) -> Iterator[Path]:
    """Yield the folders that fill up."""
    if settings.model_store is not None:
        yield settings.model_store
    yield settings.log_folder
    if settings.temporary_folder is not None:
        yield settings.temporary_folder


def configuration_in_force(settings: Settings) -> Iterator[ConfiguredKey]:
    """Yield every key that has an effect here, and those that somebody has set, without their secrets."""
    for key in KEYS:
        found = settings.origins.get(key.name)
        if found is not None:
            yield ConfiguredKey(key.name, _shown(key.name, found.value), found.source, key.meaning)
        elif key.status in ("implemented", "ours"):
            default = key.default_in(settings.dialect) or ""
            yield ConfiguredKey(key.name, _shown(key.name, default), _DEFAULT, key.meaning)
    for name, origin in sorted(settings.origins.items()):
        if name not in KEY:
            yield ConfiguredKey(name, HIDDEN, origin.source, "No key of the configuration; it is ignored.")


def _shown(name: str, value: str) -> str:
    if value and is_secret(name):
        return HIDDEN
    return without_secrets(value)[:_LONGEST_VALUE]
