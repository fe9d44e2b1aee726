"""The keys of ``model-config.yaml`` that are for the server: their values, and reading them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from attrs import evolve, field, frozen

from modelserver.spec import Torchrun

_LAUNCHED_TYPES = ("pp", "tp", "pptp")
_PARALLEL_TYPES = (*_LAUNCHED_TYPES, "custom")
_SIZE = re.compile(r"([0-9]{1,15})([KMG])", re.IGNORECASE)
_FACTORS = {"K": 1024, "M": 1024**2, "G": 1024**3}
_MILLISECOND = 0.001

Problems = tuple[str, ...]
Reader = Callable[[object], object]


@frozen
class ModelConfig:
    """
    The keys of ``model-config.yaml`` that are for the server; None where a key is unset or was ignored.

    Durations are seconds, sizes bytes.

    :param document: the whole file, for the handler.
    :param device_type: ``cpu``, ``gpu``, or empty for automatic.
    :param parallel_type: ``pp``, ``tp``, ``pptp``, ``custom``, or empty.
    :param parallel_level: devices for each worker; 0 without a parallel type.
    :param torchrun: of the parallel types whose workers torchrun starts, else None.
    """

    document: Mapping[str, object] = field(factory=dict)
    min_workers: int | None = None
    max_workers: int | None = None
    batch_size: int | None = None
    max_batch_delay: float | None = None
    response_timeout: float | None = None
    startup_timeout: float | None = None
    recovery: float | None = None
    client_timeout: float | None = None
    job_queue_size: int | None = None
    device_type: str = ""
    device_ids: tuple[int, ...] = ()
    parallel_type: str = ""
    parallel_level: int = 0
    torchrun: Torchrun | None = None
    job_tickets: bool = False
    use_venv: bool = False
    continuous_batching: bool = False
    async_communication: bool = False
    stateful: bool = False
    sequence_max_idle: float = 0.0
    sequence_timeout: float = 0.0
    sequence_jobs: int = 1
    sequences: int = 1
    worker_start: str | None = None
    preload: str | None = None
    retry_on_worker_death: int | None = None
    max_requests_per_worker: int | None = None
    worker_memory_limit: int | None = None


class _Ignored(ValueError):
    """A value that is left out; the text says why."""


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Ignored("a whole number is needed")
    return value


def _at_least_one(value: object) -> int:
    return max(1, _whole(value))


def _not_negative(value: object) -> int:
    number = _whole(value)
    if number < 0:
        raise _Ignored("it is negative")
    return number


def _positive(value: object) -> int:
    number = _whole(value)
    if number <= 0:
        raise _Ignored("it is not above 0")
    return number


def _zero_or_one(value: object) -> int:
    if _whole(value) not in (0, 1):
        raise _Ignored("0 or 1 is needed")
    return _whole(value)


def _seconds(value: object) -> float:
    return float(_positive(value))


def _milliseconds(value: object) -> float:
    return _not_negative(value) * _MILLISECOND


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Ignored("true or false is needed")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Ignored("a text is needed")
    return value


def _one_of(*words: str) -> Reader:
    def read(value: object) -> str:
        if not isinstance(value, str) or value.lower() not in words:
            raise _Ignored(f"{' or '.join(words)} is needed")
        return value.lower()

    return read


def _device_ids(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _Ignored("a list of device numbers is needed")
    return tuple(_not_negative(number) for number in value)


def _bytes(value: object) -> int:
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None:
            raise _Ignored("a number of bytes is needed, or a text like 512M")
        return int(match[1]) * _FACTORS[match[2].upper()]
    return _not_negative(value)


# key of the file -> (field of ModelConfig, how it is read)
_KEYS: Mapping[str, tuple[str, Reader]] = {
    "minWorkers": ("min_workers", _at_least_one),
    "maxWorkers": ("max_workers", _not_negative),
    "batchSize": ("batch_size", _at_least_one),
    "maxBatchDelay": ("max_batch_delay", _milliseconds),
    "responseTimeout": ("response_timeout", _seconds),
    "startupTimeout": ("startup_timeout", _seconds),
    "maxRetryTimeoutInSec": ("recovery", lambda value: float(_not_negative(value))),
    "clientTimeoutInMills": ("client_timeout", _milliseconds),
    "jobQueueSize": ("job_queue_size", _positive),
    "deviceType": ("device_type", _one_of("cpu", "gpu")),
    "deviceIds": ("device_ids", _device_ids),
    "parallelType": ("parallel_type", _one_of(*_PARALLEL_TYPES)),
    "parallelLevel": ("parallel_level", _positive),
    "useJobTicket": ("job_tickets", _boolean),
    "useVenv": ("use_venv", _boolean),
    "continuousBatching": ("continuous_batching", _boolean),
    "asyncCommunication": ("async_communication", _boolean),
    "sequenceBatching": ("stateful", _boolean),
    "sequenceMaxIdleMSec": ("sequence_max_idle", _milliseconds),
    "sequenceTimeoutMSec": ("sequence_timeout", _milliseconds),
    "maxSequenceJobQueueSize": ("sequence_jobs", _at_least_one),
    "maxNumSequence": ("sequences", _at_least_one),
    "workerStart": ("worker_start", _one_of("spawn", "template")),
    "preload": ("preload", _one_of("imports", "model")),
    "retryOnWorkerDeath": ("retry_on_worker_death", _zero_or_one),
    "maxRequestsPerWorker": ("max_requests_per_worker", _not_negative),
    "workerMemoryLimit": ("worker_memory_limit", _bytes),
}

# key of the map ``torchrun`` -> (field of Torchrun, how it is read)
_TORCHRUN_KEYS: Mapping[str, tuple[str, Reader]] = {
    "nproc-per-node": ("ranks", _positive),
    "nnodes": ("nodes", _positive),
    "node-rank": ("node_rank", _not_negative),
    "rdzv-backend": ("rdzv_backend", _text),
    "rdzv-endpoint": ("rdzv_endpoint", _text),
    "rdzv-conf": ("rdzv_conf", _text),
    "monitor-interval": ("monitor_interval", _seconds),
    "master-addr": ("master_addr", _text),
    "master-port": ("master_port", _positive),
    "OMP_NUMBER_THREADS": ("threads", _positive),
}

CONFIG_KEYS = tuple(_KEYS)
"""The keys of ``model-config.yaml`` that are for the server, apart from ``torchrun``."""


def read_model_config(document: object, number_of_gpu: int) -> tuple[ModelConfig, Problems]:
    """
    Read a parsed ``model-config.yaml``.

    Nothing here is an error: a value of a wrong type or outside its range is left out and named in the
    problems, which are for the log. Keys that are not for the server are the handler's.

    :param document: what the YAML loader returned; anything but a mapping counts as absent.
    :param number_of_gpu: the devices there are.
    """
    if not isinstance(document, Mapping):
        return ModelConfig(), ("model-config.yaml is not a mapping of keys to values; it is ignored.",)
    values, problems = _read(document, _KEYS, "")
    config = evolve(ModelConfig(document), **values)  # type: ignore[arg-type]  # _KEYS pairs names and readers
    for settle in (_settle_workers, _settle_devices, _settle_parallel, _settle_sequences):
        config, more = settle(config, number_of_gpu)
        problems.extend(more)
    return config, tuple(problems)


def _read(
    document: Mapping[str, object], keys: Mapping[str, tuple[str, Reader]], prefix: str
) -> tuple[dict[str, object], list[str]]:
    """The fields that a mapping gives values to, and what is wrong with the others."""
    values: dict[str, object] = {}
    problems: list[str] = []
    for key, (name, read) in keys.items():
        if document.get(key) is None:
            continue
        try:
            values[name] = read(document[key])
        except _Ignored as why:
            problems.append(f"model-config.yaml: {prefix}{key}={document[key]!r} is ignored: {why}.")
    return values, problems


def _settle_workers(config: ModelConfig, number_of_gpu: int) -> tuple[ModelConfig, Problems]:
    """Workers count only as a pair."""
    least, most = config.min_workers, config.max_workers
    if least is None and most is None:
        return config, ()
    if least is not None and most is not None and most >= least:
        return config, ()
    problem = (
        f"model-config.yaml: minWorkers={least} and maxWorkers={most} are ignored: "
        "both are needed, and maxWorkers may not be smaller."
    )
    return evolve(config, min_workers=None, max_workers=None), (problem,)


def _settle_devices(config: ModelConfig, number_of_gpu: int) -> tuple[ModelConfig, Problems]:
    problems = []
    if any(number >= number_of_gpu for number in config.device_ids):
        problems.append(
            f"model-config.yaml: deviceIds={list(config.device_ids)} is ignored: "
            f"there are {number_of_gpu} devices, counted from 0."
        )
        config = evolve(config, device_ids=())
    if config.device_type == "gpu" and number_of_gpu == 0:
        problems.append("model-config.yaml: deviceType=gpu, but there is no GPU: the CPU is used.")
        config = evolve(config, device_type="cpu")
    return config, tuple(problems)


def _settle_parallel(config: ModelConfig, number_of_gpu: int) -> tuple[ModelConfig, Problems]:
    """torchrun's ``nproc-per-node`` is the level of the types that it starts; custom has its own key."""
    if not config.parallel_type:
        return evolve(config, parallel_level=0), ()
    if config.parallel_type not in _LAUNCHED_TYPES:
        return config, ()
    section = config.document.get("torchrun")
    if not isinstance(section, Mapping):
        section = {"nproc-per-node": config.parallel_level or None}
    elif section.get("nproc-per-node") is None:
        section = {**section, "nproc-per-node": 1}
    values, problems = _read(section, _TORCHRUN_KEYS, "torchrun.")
    level = values.setdefault("ranks", config.parallel_level)
    torchrun = Torchrun(**values) if level else None  # type: ignore[arg-type]  # the table has the readers
    ranks = 0 if torchrun is None else torchrun.ranks
    return evolve(config, parallel_level=ranks, torchrun=torchrun), tuple(problems)


def _settle_sequences(config: ModelConfig, number_of_gpu: int) -> tuple[ModelConfig, Problems]:
    if config.stateful and config.sequence_max_idle == 0:
        return evolve(config, stateful=False), (
            "model-config.yaml: sequenceBatching is ignored: sequenceMaxIdleMSec must be above 0.",
        )
    return config, ()
