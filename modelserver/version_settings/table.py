"""
The table of a version's settings.

A new setting is a row here, a field in ``modelserver/spec.py`` that the row names, and the code that uses it.

The keys of ``model-config.yaml``, their units and bounds are those of TorchServe's
https://github.com/pytorch/serve/blob/master/frontend/archive/src/main/java/org/pytorch/serve/archive/model/ModelConfig.java
"""

from __future__ import annotations

from typing import Any

from modelserver.dialect_rules import TORCHSERVE
from modelserver.version_settings.autoscaling import AUTOSCALING
from modelserver.version_settings.placing import PLACING
from modelserver.version_settings.setting import Setting, SettingKey, SettingParameter, Unit

_TS, _BOTH = ("TS",), ("TS", "MMS")

WORKERS = (
    Setting(
        name="min_workers",
        path="workers.minimum",
        unit=Unit.COUNT,
        default=0,
        least=1,
        is_raised=True,
        model_config="minWorkers",
        models_json="minWorkers",
        described="minWorkers",
    ),
    Setting(
        name="max_workers",
        path="workers.maximum",
        unit=Unit.COUNT,
        default=0,
        model_config="maxWorkers",
        models_json="maxWorkers",
        described="maxWorkers",
    ),
)
"""How many workers; which source counts has rules of its own (``management/version_spec.py``)."""

BATCHES = (
    Setting(
        name="batch_size",
        path="batching.size",
        unit=Unit.COUNT,
        default=1,
        least=1,
        is_raised=True,
        model_config="batchSize",
        parameter=SettingParameter("batch_size", "The most requests in one batch; 1 by default."),
        models_json="batchSize",
        described="batchSize",
    ),
    Setting(
        name="max_batch_delay",
        path="batching.max_delay",
        unit=Unit.MILLISECONDS,
        default=0.1,
        can_be_auto=True,
        model_config="maxBatchDelay",
        parameter=SettingParameter(
            "max_batch_delay",
            "Milliseconds that a batch waits to be full; 100 by default. auto: as long as is worth it.",
        ),
        models_json="maxBatchDelay",
        described="maxBatchDelay",
    ),
)

TIMEOUTS = (
    Setting(
        name="response_timeout",
        path="timeouts.response",
        unit=Unit.SECONDS,
        default=120.0,
        least=1,
        key=SettingKey("default_response_timeout", "How long one batch may take, in seconds.", _BOTH),
        model_config="responseTimeout",
        parameter=SettingParameter(
            "response_timeout",
            "Seconds that a worker may take for a batch; -1: the server's default_response_timeout.",
            can_be_unset=True,
        ),
        models_json="responseTimeout",
        described="responseTimeout",
    ),
    Setting(
        name="startup_timeout",
        path="timeouts.startup",
        unit=Unit.SECONDS,
        default=120.0,
        least=1,
        key=SettingKey("default_startup_timeout", "How long loading a model may take, in seconds.", _TS),
        model_config="startupTimeout",
        parameter=SettingParameter(
            "startup_timeout",
            "Seconds that a worker may take to load the model; -1: the server's default_startup_timeout.",
            can_be_unset=True,
            dialects=(TORCHSERVE.name,),
        ),
        models_json="startupTimeout",
        described="startupTimeout",
    ),
    Setting(
        name="load_timeout",
        path="timeouts.load",
        unit=Unit.SECONDS,
        default=120.0,
        least=1,
        key=SettingKey("load_timeout", "How long a request may wait for a version without workers to load."),
        model_config="loadTimeout",
        parameter=SettingParameter(
            "load_timeout",
            "Seconds that a request may wait for a version without workers to load.",
            is_extension=True,
        ),
    ),
    Setting(
        name="recovery",
        path="timeouts.recovery",
        unit=Unit.SECONDS,
        default=300.0,
        model_config="maxRetryTimeoutInSec",
        described="maxRetryTimeoutInSec",
    ),
    Setting(
        name="client_timeout",
        path="client_timeout",
        unit=Unit.MILLISECONDS,
        default=0.0,
        model_config="clientTimeoutInMills",
        described="clientTimeoutInMills",
    ),
    Setting(
        name="worker_grace",
        path="timeouts.grace",
        unit=Unit.SECONDS,
        default=5.0,
        key=SettingKey("worker_grace", "Seconds between a polite and a forced end of a worker."),
    ),
)

DEVICES = (
    Setting(
        name="parallel_type",
        path="devices.parallel_type",
        unit=Unit.WORD,
        default="",
        choices=("pp", "tp", "pptp", "custom"),
        model_config="parallelType",
        described="parallelType",
    ),
    Setting(
        name="parallel_level",
        path="devices.parallel_level",
        unit=Unit.COUNT,
        default=0,
        least=1,
        model_config="parallelLevel",
        described="parallelLevel",
    ),
    Setting(
        name="device_type",
        path="devices.type",
        unit=Unit.WORD,
        default="",
        choices=("cpu", "gpu"),
        model_config="deviceType",
        described="deviceType",
    ),
    Setting(
        name="device_ids",
        path="devices.ids",
        unit=Unit.DEVICES,
        default=(),
        model_config="deviceIds",
        described="deviceIds",
    ),
)

MODES = (
    Setting(
        name="continuous_batching",
        path="batching.continuous",
        unit=Unit.FLAG,
        default=False,
        model_config="continuousBatching",
        described="continuousBatching",
    ),
    Setting(
        name="async_communication",
        path="batching.asynchronous",
        unit=Unit.FLAG,
        default=False,
        model_config="asyncCommunication",
    ),
    Setting(
        name="job_tickets",
        path="queue.tickets",
        unit=Unit.FLAG,
        default=False,
        model_config="useJobTicket",
        described="useJobTicket",
    ),
    Setting(
        name="use_venv",
        path="start.use_venv",
        unit=Unit.FLAG,
        default=False,
        model_config="useVenv",
        described="useVenv",
    ),
)

SEQUENCES = (
    Setting(
        name="stateful",
        path="sequences.enabled",
        unit=Unit.FLAG,
        default=False,
        model_config="sequenceBatching",
        described="stateful",
    ),
    Setting(
        name="sequence_max_idle",
        path="sequences.max_idle",
        unit=Unit.MILLISECONDS,
        default=0.0,
        model_config="sequenceMaxIdleMSec",
        described="sequenceMaxIdleMSec",
    ),
    Setting(
        name="sequence_timeout",
        path="sequences.timeout",
        unit=Unit.MILLISECONDS,
        default=0.0,
        model_config="sequenceTimeoutMSec",
        described="sequenceTimeoutMSec",
    ),
    Setting(
        name="max_sequences",
        path="sequences.max_sequences",
        unit=Unit.COUNT,
        default=1,
        least=1,
        is_raised=True,
        model_config="maxNumSequence",
        described="maxNumSequence",
    ),
    Setting(
        name="sequence_jobs",
        path="sequences.max_jobs",
        unit=Unit.COUNT,
        default=1,
        least=1,
        is_raised=True,
        model_config="maxSequenceJobQueueSize",
        described="maxSequenceJobQueueSize",
    ),
)

QUEUE = (
    Setting(
        name="job_queue_size",
        path="queue.jobs",
        unit=Unit.COUNT,
        default=100,
        least=1,
        key=SettingKey("job_queue_size", "How many requests each version may have waiting.", _BOTH),
        model_config="jobQueueSize",
    ),
    Setting(
        name="job_queue_bytes",
        path="queue.size",
        unit=Unit.BYTES,
        default=256 * 1024**2,
        key=SettingKey("job_queue_bytes", "Bytes of bodies that each version may have waiting; 0: no limit."),
    ),
)

PROCESSES = (
    Setting(
        name="worker_start",
        path="start.method",
        unit=Unit.WORD,
        default="auto",
        choices=("spawn", "template"),
        key=SettingKey(
            "worker_start",
            "How workers start; auto: forked from a template where one can be used.",
            words=("auto",),
        ),
        model_config="workerStart",
        parameter=SettingParameter(
            "worker_start",
            "How workers start: on their own, or forked from a template process.",
            is_extension=True,
        ),
    ),
    Setting(
        name="preload",
        path="start.preload",
        unit=Unit.WORD,
        default="libraries",
        choices=("libraries", "imports", "model"),
        model_config="preload",
        parameter=SettingParameter(
            "preload",
            "What the template process holds: the libraries that the handler's files import; or, shared by "
            "all workers, what the handler's modules hold, or the loaded model, too.",
            is_extension=True,
        ),
    ),
    Setting(
        name="retry_on_worker_death",
        path="limits.retries",
        unit=Unit.COUNT,
        default=1,
        most=1,
        key=SettingKey("retry_on_worker_death", "1: a request whose worker died is tried once more."),
        model_config="retryOnWorkerDeath",
    ),
    Setting(
        name="max_requests_per_worker",
        path="limits.requests",
        unit=Unit.COUNT,
        default=0,
        key=SettingKey("max_requests_per_worker", "Requests after which a worker is replaced; 0: never."),
        model_config="maxRequestsPerWorker",
    ),
    Setting(
        name="worker_memory_limit",
        path="limits.memory",
        unit=Unit.BYTES,
        default=0,
        key=SettingKey("worker_memory_limit", "Resident bytes at which a worker is ended; 0: no limit."),
        model_config="workerMemoryLimit",
    ),
    Setting(
        name="pinned",
        path="pinned",
        unit=Unit.FLAG,
        default=False,
        key=SettingKey("pinned", "Whether models stay in memory when it is short (model_memory_limit)."),
        model_config="pinned",
    ),
)

VERSION_SETTINGS = (
    *WORKERS,
    *BATCHES,
    *TIMEOUTS,
    *DEVICES,
    *MODES,
    *SEQUENCES,
    *QUEUE,
    *PROCESSES,
    *AUTOSCALING,
    *PLACING,
)
"""All settings, those that a describe shows in the order of TorchServe's answer."""


def default_of(name: str) -> Any:  # the type is the attribute's own; a test compares the two
    """Return the default of a setting."""
    return next(setting.default for setting in VERSION_SETTINGS if setting.name == name)
