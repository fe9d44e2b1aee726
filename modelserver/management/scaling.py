"""What a call says for the number of a version's workers, and who decides it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from modelserver.core.scaling import Scaling
from modelserver.core.version import ModelVersion
from modelserver.errors import BadRequest, ServingError
from modelserver.management.requests import ScaleRequest
from modelserver.version_settings.autoscaling import AUTOSCALING
from modelserver.version_settings.setting import SettingValues
from modelserver.version_settings.values import Autoscaling, WorkerRange


def rescale(
    version: ModelVersion, request: ScaleRequest, ceiling: int, follow: Callable[[ModelVersion], object]
) -> None:
    """
    Hold what a call says for a version's workers, and have as many as follow from it.

    :param ceiling: the most workers where the server decides, and no call says how many.
    :param follow: is told before the number changes; who decides it may be another one now.
    :raises BadRequest: the server is to decide for a version whose workers keep sequences.
    :raises NotEnoughDevices: a worker needs more GPUs than there are; nothing has changed.
    """
    scaling, pool = version.scaling, version.pool
    before = scaling.settings, scaling.bounds
    settings, bounds = _scaled(scaling, request, ceiling)
    if settings.enabled and version.spec.sequences.enabled:
        raise BadRequest("autoscale is not for a version with sequenceBatching: workers keep sequences.")
    scaling.change(settings, bounds)
    least, most = bounds.minimum, bounds.maximum
    if scaling.is_on:
        least = most = scaling.clamp(len(pool.workers))
    follow(version)
    try:
        pool.scale(least, most, request.gpu_workers, request.drain)
    except ServingError:
        scaling.change(*before)
        follow(version)
        raise


def more_on_gpus(version: ModelVersion, gpu_workers: int | None) -> int | None:
    """Return how many workers more get GPUs where so many are to have one; None: as its settings say."""
    if gpu_workers is None:
        return None
    return max(0, gpu_workers - sum(worker.spec.gpu_id is not None for worker in version.pool.workers))


def _scaled(scaling: Scaling, request: ScaleRequest, ceiling: int) -> tuple[Autoscaling, WorkerRange]:
    """Return the settings and bounds that hold after a call."""
    settings = _with_values(scaling.settings, request.settings)
    most = request.maximum
    if settings.enabled and not request.has_maximum:
        most = max(request.minimum, scaling.bounds.maximum if scaling.is_on else ceiling)
    return settings, WorkerRange(request.minimum, most)


def _with_values(settings: Autoscaling, values: SettingValues) -> Autoscaling:
    """Return the settings with other values, by the names of the table."""
    fields = {row.path.rpartition(".")[2]: values[row.name] for row in AUTOSCALING if row.name in values}
    return evolve(settings, **fields)  # type: ignore[arg-type]  # the table's paths; a test compares types
