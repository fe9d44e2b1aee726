"""What one version of a model is to be: wishes of the caller, its model-config, ``models`` JSON, defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from attrs import frozen

from modelserver.archive.manifest import Manifest
from modelserver.archive.model_config import ModelConfig
from modelserver.errors import ArchiveInvalid, NotEnoughDevices
from modelserver.management.models_json import VersionPreset
from modelserver.management.requests import VersionOverrides
from modelserver.spec import Sequences, Timeouts, VersionSpec

_BATCH_DELAY = 0.1
_RECOVERY = 300.0
_RUNTIMES = ("python", "python3")
_T = TypeVar("_T")


@frozen
class OpenedArchive:
    """
    A version as it was found, before anything is decided.

    :param url: as given at registration.
    :param folder: the unpacked archive.
    """

    name: str
    version: str
    url: str
    folder: Path
    manifest: Manifest


@frozen
class VersionDefaults:
    """
    What holds where nobody said otherwise: the part of the settings that versions are made from.

    :param workers: for a registration by the API.
    :param startup_workers: for a model that is loaded at the start.
    :param handler: where the manifest names none, or None.
    :param envelope: goes before the manifest's, or None.
    :param worker_start: ``spawn``, ``template`` or ``auto``: a template where one can be used.
    :param preload: ``imports`` or ``model``.
    :param number_of_gpu: the devices there are.
    :param sequence_headers: the names of the headers that name a sequence, tell of a new one, and end one.
    :param can_fork: whether this system can have template workers.
    """

    workers: int = 0
    startup_workers: int = 1
    response_timeout: float = 120.0
    startup_timeout: float = 120.0
    job_queue_size: int = 100
    job_queue_bytes: int = 0
    handler: str | None = None
    envelope: str | None = None
    worker_start: str = "auto"
    preload: str = "imports"
    retry_on_worker_death: int = 1
    max_requests_per_worker: int = 0
    worker_memory_limit: int = 0
    worker_grace: float = 5.0
    number_of_gpu: int = 0
    can_fork: bool = True
    sequence_headers: tuple[str, str, str] = (
        "ts_request_sequence_id",
        "ts_request_sequence_start",
        "ts_request_sequence_end",
    )


def resolve_version_spec(
    found: OpenedArchive,
    wishes: VersionOverrides,
    model_config: ModelConfig,
    models_entry: VersionPreset,
    defaults: VersionDefaults,
    start_up: bool = False,
) -> VersionSpec:
    """
    Decide everything about a version: the wishes go first, then its model-config, then its entry in the
    ``models`` JSON, then the defaults.

    TorchServe documents this order and keeps another one for timeouts; here it holds for them, too.

    :param start_up: it is loaded at the start of the server, where other numbers of workers hold.
    :raises ArchiveInvalid: nobody names a handler, or the runtime is not one of this server's.
    :raises NotEnoughDevices: each worker needs more GPUs than there are.
    """
    least, most = _workers(wishes, model_config, models_entry, defaults, start_up)
    _check_devices(found.name, model_config, defaults)
    return VersionSpec(
        name=found.name,
        version=found.version,
        url=found.url,
        folder=found.folder,
        handler=_handler(found, wishes, defaults),
        runtime=_runtime(found, wishes, models_entry),
        engine=found.manifest.engine,
        manifest=found.manifest.raw or None,
        config=model_config.document,
        envelope=defaults.envelope or found.manifest.envelope,
        batch_size=_first(wishes.batch_size, model_config.batch_size, models_entry.batch_size, default=1),
        max_batch_delay=_first(
            wishes.max_batch_delay,
            model_config.max_batch_delay,
            models_entry.max_batch_delay,
            default=_BATCH_DELAY,
        ),
        min_workers=least,
        max_workers=most,
        job_queue_size=_first(model_config.job_queue_size, default=defaults.job_queue_size),
        job_queue_bytes=defaults.job_queue_bytes,
        timeouts=_timeouts(wishes, model_config, models_entry, defaults),
        client_timeout=_first(model_config.client_timeout, default=0.0),
        device_type=model_config.device_type,
        device_ids=model_config.device_ids,
        parallel_type=model_config.parallel_type,
        parallel_level=model_config.parallel_level,
        torchrun=model_config.torchrun,
        continuous_batching=model_config.continuous_batching,
        async_communication=model_config.async_communication,
        job_tickets=model_config.job_tickets,
        stateful=model_config.stateful,
        sequences=_sequences(model_config, defaults),
        use_venv=model_config.use_venv,
        worker_start=_worker_start(wishes, model_config, defaults),
        preload=_first(wishes.preload, model_config.preload, default=defaults.preload),
        retry_on_worker_death=_first(
            model_config.retry_on_worker_death, default=defaults.retry_on_worker_death
        ),
        max_requests_per_worker=_first(
            model_config.max_requests_per_worker, default=defaults.max_requests_per_worker
        ),
        worker_memory_limit=_first(model_config.worker_memory_limit, default=defaults.worker_memory_limit),
        loaded_at_startup=start_up,
    )


def _first(*values: _T | None, default: _T) -> _T:
    return next((value for value in values if value is not None), default)


def _handler(found: OpenedArchive, wishes: VersionOverrides, defaults: VersionDefaults) -> str:
    handler = wishes.handler or found.manifest.handler or defaults.handler
    if not handler:
        raise ArchiveInvalid("Model handler is not defined.")
    return handler


def _runtime(found: OpenedArchive, wishes: VersionOverrides, models_entry: VersionPreset) -> str:
    runtime = (wishes.runtime or models_entry.runtime or found.manifest.runtime).lower()
    if runtime not in _RUNTIMES:
        raise ArchiveInvalid(f"Runtime {runtime} is not supported: handlers run on Python 3.")
    return runtime


def _workers(
    wishes: VersionOverrides,
    model_config: ModelConfig,
    models_entry: VersionPreset,
    defaults: VersionDefaults,
    start_up: bool,
) -> tuple[int, int]:
    """
    The least and the most workers.

    A snapshot's numbers hold as they are. A model-config with valid workers goes before the caller's
    ``initial_workers``, as in TorchServe. The ``models`` JSON is asked at the start only.
    """
    if wishes.min_workers is not None:
        return wishes.min_workers, max(wishes.min_workers, wishes.max_workers or 0)
    if model_config.min_workers is not None and model_config.max_workers is not None:
        return model_config.min_workers, model_config.max_workers
    if not start_up:
        wanted = max(0, _first(wishes.initial_workers, default=defaults.workers))
        return wanted, wanted
    least = _first(wishes.initial_workers, models_entry.min_workers, default=defaults.startup_workers)
    return least, max(least, _first(models_entry.max_workers, default=least))


def _timeouts(
    wishes: VersionOverrides,
    model_config: ModelConfig,
    models_entry: VersionPreset,
    defaults: VersionDefaults,
) -> Timeouts:
    return Timeouts(
        startup=_first(
            wishes.startup_timeout,
            model_config.startup_timeout,
            models_entry.startup_timeout,
            default=defaults.startup_timeout,
        ),
        response=_first(
            wishes.response_timeout,
            model_config.response_timeout,
            models_entry.response_timeout,
            default=defaults.response_timeout,
        ),
        recovery=_first(model_config.recovery, default=_RECOVERY),
        grace=defaults.worker_grace,
    )


def _sequences(model_config: ModelConfig, defaults: VersionDefaults) -> Sequences:
    return Sequences(
        model_config.sequence_max_idle,
        model_config.sequence_timeout,
        model_config.sequence_jobs,
        model_config.sequences,
        *defaults.sequence_headers,
    )


def _check_devices(name: str, model_config: ModelConfig, defaults: VersionDefaults) -> None:
    """Without any GPU, and with deviceType cpu, the ranks of a worker share the CPU."""
    if model_config.device_type == "cpu" or defaults.number_of_gpu == 0:
        return
    usable = len(model_config.device_ids) or defaults.number_of_gpu
    if model_config.parallel_level > usable:
        raise NotEnoughDevices(name, model_config.parallel_level)


def _worker_start(wishes: VersionOverrides, model_config: ModelConfig, defaults: VersionDefaults) -> str:
    """A template only for plain workers of this server's interpreter; unasked only for those on the CPU."""
    if not defaults.can_fork or model_config.use_venv or model_config.parallel_level > 0:
        return "spawn"
    asked = _first(wishes.worker_start, model_config.worker_start, default=defaults.worker_start)
    if asked != "auto":
        return asked
    on_cpu = model_config.device_type == "cpu" or defaults.number_of_gpu == 0
    return "template" if on_cpu else "spawn"
