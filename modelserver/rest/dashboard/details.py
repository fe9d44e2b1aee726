"""The details of one version, which the page asks for when somebody opens them."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import asdict

from modelserver.language.attributes import frozen
from modelserver.metrics.figures import NOTHING
from modelserver.metrics.tallies import SIZES
from modelserver.rest.dashboard.secrets import without_secrets
from modelserver.rest.dashboard.state import DashboardSources, Json, chart
from modelserver.spec import VersionDescription, WorkerDescription

_SHOWN = ("batching", "queue", "timeouts", "devices", "limits", "start", "sequences")


@frozen
class ConfiguredKey:
    """
    A key of the configuration in force.

    :param value: as it would be written; hidden where it is a secret.
    :param origin: what has set it.
    """

    name: str
    value: str
    origin: str
    meaning: str


def details(version: VersionDescription, sources: DashboardSources) -> Json:
    """Return what a row does not have room for."""
    spec = version.spec
    counted = sources.figures().versions.get((spec.name, spec.version), NOTHING)
    return {
        "url": without_secrets(spec.url),
        "handler": spec.handler,
        "runtime": spec.runtime,
        "mode": spec.mode,
        "client_timeout": spec.client_timeout,
        "waiting_bytes": version.waiting_bytes,
        "settings": {name: _plain(asdict(getattr(spec, name))) for name in _SHOWN},
        "sizes": SIZES,
        "batches": counted.batches,
        "failures": {worker.id: shown for worker in version.workers if (shown := _failure(worker))},
        "chart": chart(sources, (spec.name, spec.version)),
    }


def _plain(values: Mapping[str, object]) -> Json:
    """Return settings as JSON has them."""
    return {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in values.items()
        if value not in (None, "", ())
    }


def _failure(worker: WorkerDescription) -> Json | None:
    failure = worker.failure
    if failure is None:
        return None
    return {
        "at": failure.at,
        "text": str(failure),
        "traceback": failure.traceback,
        "stderr": failure.stderr,
        "out_of_memory": failure.out_of_memory,
        "permanent": failure.permanent,
    }
