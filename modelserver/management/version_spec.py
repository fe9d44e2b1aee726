"""Decides what one version of a model is: from the caller, its model-config, ``models`` JSON, defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import evolve, field

from modelserver.archive.manifest import Manifest
from modelserver.archive.model_config import ModelConfig
from modelserver.errors import ArchiveInvalid, BadRequest, NotEnoughDevices
from modelserver.language.attributes import frozen
from modelserver.management.models_json import VersionPreset
from modelserver.management.requests import VersionOverrides
from modelserver.spec import VersionSpec
from modelserver.version_settings.setting import SettingValues, resolve_settings
from modelserver.version_settings.table import VERSION_SETTINGS
from modelserver.version_settings.values import SEQUENCE_HEADERS, Sequences

MOST_WORKERS = 128
"""Workers of a version that calls and archives may ask for on machines that are not large."""
_RUNTIMES = ("python", "python3")
_T = TypeVar("_T")


@frozen
class OpenedArchive:
    """
    An unpacked archive with its manifest, before the spec is resolved.

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
    The defaults that the configuration sets for all versions.

    :param workers: for a registration by the API.
    :param startup_workers: for a model that is loaded at the start.
    :param most_workers: that an archive may ask for.
    :param usual_ceiling: the most workers where the server decides their number and nobody says how many.
    :param handler: where the manifest names none, or None.
    :param envelope: goes before the manifest's, or None.
    :param settings: ``worker_start`` may be ``auto``: a template where one can be used.
    :param number_of_gpu: the devices there are.
    :param sequence_headers: the names of the headers that name a sequence, tell of a new one, and end one.
    :param can_fork: whether this system can have template workers.
    :param has_cluster: whether workers can run on other machines.
    """

    workers: int = 0
    startup_workers: int = 1
    most_workers: int = MOST_WORKERS
    usual_ceiling: int = 1
    handler: str | None = None
    envelope: str | None = None
    settings: SettingValues = field(factory=dict)
    number_of_gpu: int = 0
    can_fork: bool = True
    has_cluster: bool = False
    sequence_headers: tuple[str, str, str] = SEQUENCE_HEADERS


@frozen
class _Sources:
    """The sources of settings, the most important one first."""

    overrides: VersionOverrides
    model_config: ModelConfig
    preset: VersionPreset
    defaults: VersionDefaults

    @property
    def settings(self) -> SettingValues:
        """Return every setting, from the first source that gives it."""
        sources = (self.overrides, self.model_config, self.preset, self.defaults)
        return resolve_settings([source.settings for source in sources], VERSION_SETTINGS)


def resolve_version_spec(
    found: OpenedArchive,
    overrides: VersionOverrides,
    model_config: ModelConfig,
    preset: VersionPreset,
    defaults: VersionDefaults,
    start_up: bool = False,
) -> VersionSpec:
    """
    Decide everything about a version: the overrides go first, then its model-config, then its entry in the
    ``models`` JSON, then the defaults.

    TorchServe documents this order and keeps another one for timeouts; here it holds for them, too:
    https://github.com/pytorch/serve/blob/master/docs/configuration.md

    :param start_up: the version is loaded at the start of the server, where other numbers of workers hold.
    :raises ArchiveInvalid: nobody names a handler, or the runtime is not one of this server's.
    :raises BadRequest: its workers cannot run where they are to.
    :raises NotEnoughDevices: each worker needs more GPUs than there are.
    """
    sources = _Sources(overrides, model_config, preset, defaults)
    settings = _without_conflicts(sources)
    least, most = _bounds(sources) if settings["autoscale"] else _workers(sources, start_up)
    spec = VersionSpec(
        name=found.name,
        version=found.version,
        url=found.url,
        folder=found.folder,
        handler=_handler(found, overrides, defaults),
        runtime=_runtime(found, overrides, preset),
        engine=found.manifest.engine,
        manifest=found.manifest.raw or None,
        config=model_config.document,
        envelope=defaults.envelope or found.manifest.envelope,
        torchrun=model_config.torchrun,
        sequences=_sequences(defaults),
        loaded_at_startup=start_up,
        given=overrides.settings,
        given_handler=overrides.handler,
    )
    spec = spec.with_settings({**settings, "min_workers": least, "max_workers": most})
    if spec.placement.where != "local":
        _check_placement(spec, defaults)
    _check_devices(spec, defaults)
    return evolve(spec, start=evolve(spec.start, method=_start_method(spec, defaults)))


def _first(*values: _T | None, default: _T) -> _T:
    return next((value for value in values if value is not None), default)


def _handler(found: OpenedArchive, overrides: VersionOverrides, defaults: VersionDefaults) -> str:
    handler = overrides.handler or found.manifest.handler or defaults.handler
    if not handler:
        raise ArchiveInvalid("Model handler is not defined.")
    return handler


def _runtime(found: OpenedArchive, overrides: VersionOverrides, preset: VersionPreset) -> str:
    runtime = (overrides.runtime or preset.runtime or found.manifest.runtime).lower()
    if runtime not in _RUNTIMES:
        raise ArchiveInvalid(f"Runtime {runtime} is not supported: handlers run on Python 3.")
    return runtime


def _workers(sources: _Sources, start_up: bool) -> tuple[int, int]:
    """
    Return the least and the most workers.

    A snapshot's numbers hold as they are. A model-config with valid workers goes before the caller's
    ``initial_workers``, as in TorchServe, within the operator's limit. The ``models`` JSON is asked at the
    start only. The peer's order:
    https://github.com/pytorch/serve/blob/master/frontend/server/src/main/java/org/pytorch/serve/util/ApiUtils.java

    :raises ArchiveInvalid: the model-config wants more than the operator's limit.
    """
    least, most = _worker_range(sources.overrides.settings)
    if least is not None:
        return least, max(least, most or 0)
    least, most = _worker_range(sources.model_config.settings)
    if least is not None and most is not None:
        if least > sources.defaults.most_workers:
            raise ArchiveInvalid(
                f"The archive asks for {least} workers (minWorkers); "
                f"max_workers_per_model is {sources.defaults.most_workers}."
            )
        return least, most
    wanted = sources.overrides.initial_workers
    if not start_up:
        wanted = max(0, _first(wanted, default=sources.defaults.workers))
        return wanted, wanted
    least, most = _worker_range(sources.preset.settings)
    least = _first(wanted, least, default=sources.defaults.startup_workers)
    return least, max(least, _first(most, default=least))


def _without_conflicts(sources: _Sources) -> SettingValues:
    """
    Return every setting; workers that keep sequences do not come and go by the server's default.

    :raises BadRequest: the caller wants them to.
    :raises ArchiveInvalid: the archive does.
    """
    settings = sources.settings
    if not (settings["autoscale"] and settings["stateful"]):
        return settings
    text = "autoscaling is not for a version with sequenceBatching: a worker keeps its sequences."
    if sources.overrides.settings.get("autoscale"):
        raise BadRequest(text)
    if sources.model_config.settings.get("autoscale"):
        raise ArchiveInvalid(f"model-config.yaml: {text}")
    return {**settings, "autoscale": False}


def _bounds(sources: _Sources) -> tuple[int, int]:
    """
    Return the least and the most workers where the server decides how many there are.

    Where nobody says, there is one at least, and one for each CPU at most.

    :raises BadRequest: the caller wants more than the operator's limit, or gives bounds in the wrong order.
    :raises ArchiveInvalid: the model-config does.
    """
    defaults, overrides = sources.defaults, sources.overrides
    config: Mapping[str, Any] = {**sources.preset.settings, **sources.model_config.settings}
    least, most = _worker_range(overrides.settings)
    initial = None if overrides.initial_workers is None else max(0, overrides.initial_workers)
    in_archive = config.get("least", config.get("min_workers"))
    fewest = _first(least, overrides.least, in_archive, initial, default=1)
    in_archive = config.get("most", config.get("max_workers"))
    ceiling = _first(most, overrides.most, in_archive, default=max(fewest, defaults.usual_ceiling))
    if ceiling < fewest:
        raise BadRequest(f"max_worker ({ceiling}) cannot be less than min_worker ({fewest}).")
    if fewest > defaults.most_workers:
        raise BadRequest(f"min_worker is {fewest}, max_workers_per_model is {defaults.most_workers}.")
    return fewest, min(ceiling, defaults.most_workers)


def _worker_range(settings: Mapping[str, Any]) -> tuple[int | None, int | None]:
    return settings.get("min_workers"), settings.get("max_workers")


def _sequences(defaults: VersionDefaults) -> Sequences:
    id_header, start_header, end_header = defaults.sequence_headers
    return Sequences(id_header=id_header, start_header=start_header, end_header=end_header)


def _check_placement(spec: VersionSpec, defaults: VersionDefaults) -> None:
    """
    Check that workers can run elsewhere.

    :raises BadRequest: there is no cluster, or it is not for such workers.
    """
    where = f"placement={spec.placement.where}"
    if not defaults.has_cluster:
        raise BadRequest(
            f"{where} needs a Ray cluster: ray_address is not set in the server's configuration."
        )
    if spec.torchrun is not None or spec.devices.parallel_level > 0:
        raise BadRequest(f"{where} is not for workers of several processes or GPUs (parallelType).")
    if spec.placement.where == "auto" and spec.placement.amounts.get("GPU", 0):
        raise BadRequest(f"{where} counts processors alone: a version with GPU in its resources needs ray.")


def _check_devices(spec: VersionSpec, defaults: VersionDefaults) -> None:
    """Check that there are enough GPUs; without any, and with deviceType cpu, the ranks share the CPU."""
    if spec.devices.type == "cpu" or defaults.number_of_gpu == 0 or spec.placement.is_elsewhere:
        return
    usable = len(spec.devices.ids) or defaults.number_of_gpu
    if spec.devices.parallel_level > usable:
        raise NotEnoughDevices(spec.name, spec.devices.parallel_level)


def _start_method(spec: VersionSpec, defaults: VersionDefaults) -> str:
    """
    Decide how workers start.

    A template is for plain workers of this server's interpreter; unasked only for those on the CPU.
    """
    if spec.placement.is_elsewhere:
        return "spawn"
    if not defaults.can_fork or spec.start.use_venv or spec.devices.parallel_level > 0:
        return "spawn"
    if spec.start.method != "auto":
        return spec.start.method
    on_cpu = spec.devices.type == "cpu" or defaults.number_of_gpu == 0
    return "template" if on_cpu else "spawn"
