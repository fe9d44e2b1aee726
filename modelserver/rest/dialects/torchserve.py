"""TorchServe's words: codes, texts and JSON of its REST API.

https://github.com/pytorch/serve/blob/master/docs/management_api.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from modelserver import errors
from modelserver.core.shortage import MemoryShort
from modelserver.dialect_rules import TORCHSERVE
from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.rest.dialects.bodies import (
    list_row,
    memory_apart,
    process_id,
    residence,
    scaling_of,
    template_memory,
    worker_history,
    worker_status,
)
from modelserver.rest.dialects.json_text import pretty, timestamp
from modelserver.rest.dialects.refusals import (
    Refusal,
    deadline_code,
    is_of_management,
    out_of_memory_code,
    prediction_code,
    refuse,
    said,
)
from modelserver.rest.dialects.settings import chosen_delay, described_settings
from modelserver.rest.dialects.workflows import WORKFLOW_REFUSALS
from modelserver.spec import ModelSummary, VersionDescription, VersionSpec, WorkerDescription
from modelserver.version_settings.setting import Unit
from modelserver.version_settings.table import SEQUENCES, VERSION_SETTINGS


def _no_worker(error: errors.QueueFull | errors.NoWorkers) -> str:
    # The quote after the version is TorchServe's own.
    which = f'"{error.model}"' if error.version is None else f'"{error.model}" Version {error.version}"'
    return (
        f"Model {which} has no worker to serve inference request. "
        "Please use scale workers API to add workers. If this is a sequence inference, "
        "please check if it is closed, or expired; or exceeds maxSequenceJobQueueSize"
    )


def _workers_failed(error: errors.WorkersFailed) -> str:
    version = "null" if error.version is None else error.version
    return f"Failed to start workers for model {error.model} version: {version}"


def _prediction_code(error: errors.PredictionFailed) -> int:
    """Return the handler's status; its 413 becomes 507, for in TorchServe it means a lack of memory."""
    return 507 if error.code == 413 else prediction_code(error)


def _download_failed(error: errors.DownloadFailed | errors.UrlInvalid) -> str:
    return f"Failed to download archive from: {error.url}"


REFUSALS: Mapping[type[errors.ServingError], Refusal] = MappingProxyType(
    {
        errors.ServingError: Refusal(500, "InternalServerException"),
        errors.ModelNotFound: Refusal(404, "ModelNotFoundException"),
        errors.VersionNotFound: Refusal(404, "ModelVersionNotFoundException"),
        errors.RouteNotFound: Refusal(404, "ResourceNotFoundException"),
        errors.MethodNotAllowed: Refusal(405, "MethodNotAllowedException"),
        errors.BadRequest: Refusal(400, "BadRequestException"),
        errors.ParameterMissing: Refusal(400, "BadRequestException"),
        errors.BodyTooLarge: Refusal(413, "RequestEntityTooLargeException"),
        errors.ArchiveNotFound: Refusal(404, "ModelNotFoundException"),
        # TorchServe tries to open it, whatever it is.
        errors.UrlInvalid: Refusal(400, "DownloadArchiveException", _download_failed),
        errors.StoreNotConfigured: Refusal(404, "ModelNotFoundException"),
        errors.DownloadFailed: Refusal(400, "DownloadArchiveException", _download_failed),
        errors.ArchiveExists: Refusal(409, "ConflictStatusException"),
        errors.ArchiveInvalid: Refusal(400, "InvalidModelException"),
        errors.DependenciesFailed: Refusal(400, "ModelException"),
        errors.VersionExists: Refusal(409, "ConflictStatusException"),
        errors.DefaultVersionInUse: Refusal(403, "InvalidModelVersionException"),
        errors.NoSuchVersionToDefault: Refusal(404, "ModelVersionNotFoundException"),
        errors.QueueFull: Refusal(503, "ServiceUnavailableException", _no_worker),
        errors.ServerFull: Refusal(503, "ServiceUnavailableException"),
        MemoryShort: Refusal(507, "OutOfMemoryError"),
        errors.NoWorkers: Refusal(503, "ServiceUnavailableException", _no_worker),
        errors.WorkerDied: Refusal(out_of_memory_code, "InternalServerException", said("Worker died.")),
        errors.Unregistered: Refusal(503, "ServiceUnavailableException"),
        errors.DeadlinePassed: Refusal(deadline_code, "RequestTimeoutException"),
        errors.ClientGone: Refusal(408, "RequestTimeoutException"),
        errors.PredictionFailed: Refusal(_prediction_code, "InternalServerException"),
        errors.ResponseTooLarge: Refusal(500, "InternalServerException"),
        errors.WorkersFailed: Refusal(out_of_memory_code, "InternalServerException", _workers_failed),
        errors.DrainTimedOut: Refusal(408, "RequestTimeoutException"),
        errors.DescribeUnavailable: Refusal(503, "ServiceUnavailableException"),
        errors.NotEnoughDevices: Refusal(500, "WorkerInitializationException"),
        errors.InternalError: Refusal(500, "InternalServerException"),
        errors.AccessDenied: Refusal(400, "InvalidKeyException"),
        errors.PageRefused: Refusal(403, "ForbiddenException"),
        **WORKFLOW_REFUSALS,
    }
)


@frozen
class TorchServe:
    """
    The dialect of TorchServe 0.12.

    :param expose_errors: answers of predictions tell the handler's exception and why a worker died.
    :param expose_load_errors: answers of management calls tell why a load, a download or pip failed.
    :param overload_status: the code for a full queue, 503 in TorchServe.
    :param trace_id: returns the id of the present request's trace, or nothing.
    """

    expose_errors: bool = True
    expose_load_errors: bool = True
    overload_status: int = 503
    trace_id: Callable[[], str] = str

    @property
    def name(self) -> str:
        """``torchserve``."""
        return TORCHSERVE.name

    def failed(self, error: errors.ServingError) -> Reply:
        """An error body, and the status that goes with it."""
        is_exposed = self.expose_load_errors if is_of_management(error) else self.expose_errors
        return refuse(
            REFUSALS,
            error,
            expose_errors=is_exposed,
            overload_status=self.overload_status,
            trace_id=self.trace_id(),
        )

    def status(self, text: str, code: int = 200) -> Reply:
        """``{"status": text}``."""
        return Reply(code, pretty({"status": text}))

    def registered(self, name: str, version: str, workers: int, synchronous: bool) -> Reply:
        """A registration that came to its end, or goes on in the background."""
        if workers > 0 and not synchronous:
            return self._in_progress()
        text = f'Model "{name}" Version: {version} registered with {max(workers, 0)} initial workers'
        if workers <= 0:
            text += ". Use scale workers API to add workers for the model."
        return self.status(text)

    def scaled(
        self, name: str, version: str | None, workers: int, synchronous: bool, complete: bool
    ) -> Reply:
        """A change of the number of workers; ``version`` only if the caller named one."""
        if not synchronous:
            return self._in_progress()
        if not complete:
            return self.status("Workers scaling in progress...", 206)
        text = f"Workers scaled to {workers} for model: {name}"
        return self.status(text if version is None else f"{text}, version: {version}")

    def unregistered(self, name: str) -> Reply:
        """A version that is gone."""
        return self.status(f'Model "{name}" unregistered')

    def default_set(self, name: str, version: str) -> Reply:
        """A new default version."""
        return self.status(f'Default version successfully updated for model "{name}" to "{version}"')

    def described(self, versions: Sequence[VersionDescription]) -> Reply:
        """One or all versions of a model, as an array."""
        return Reply(200, pretty([_version(version) for version in versions]))

    def listed(self, models: Sequence[ModelSummary], next_token: str | None) -> Reply:
        """A page of the list of models."""
        token = {} if next_token is None else {"nextPageToken": next_token}
        return Reply(200, pretty(token | {"models": [list_row(model) for model in models]}))

    def pinged(self, wanted: int, running: int, healthy: bool) -> Reply:
        """The state of the whole server: 200 or 500."""
        return self.status("Healthy") if healthy else self.status("Unhealthy", 500)

    def _in_progress(self) -> Reply:
        return self.status("Processing worker updates...", 202)


def _version(description: VersionDescription) -> dict[str, object]:
    """One element of a describe."""
    spec = description.spec
    keys = _identity(spec) | _settings(description) | scaling_of(description)
    keys["workers"] = [_worker(worker) for worker in description.workers]
    keys["jobQueueStatus"] = {
        "remainingCapacity": max(0, spec.queue.jobs - description.waiting),
        "pendingRequests": description.waiting,
    }
    keys |= template_memory(description.template) | residence(description)
    if description.metadata is not None:
        keys["customizedMetadata"] = dict(description.metadata)
    return keys


def _identity(spec: VersionSpec) -> dict[str, object]:
    keys: dict[str, object] = {"modelName": spec.name, "modelVersion": spec.version}
    if spec.url:  # a function of a workflow has none
        keys["modelUrl"] = spec.url
    if spec.engine is not None:
        keys["engine"] = spec.engine
    keys["runtime"] = spec.runtime
    return keys


def _settings(description: VersionDescription) -> dict[str, object]:
    """Return the settings; those of sequences are 0 for a version without sequences, as in TorchServe."""
    spec = description.spec
    keys = described_settings(spec, VERSION_SETTINGS) | chosen_delay(description)
    if not spec.devices.type:
        on_gpu = any(worker.gpu_id is not None for worker in description.workers)
        keys["deviceType"] = "gpu" if on_gpu else "cpu"
    if not spec.devices.ids:
        del keys["deviceIds"]
    if not spec.sequences.enabled:
        keys |= {row.described: 0 for row in SEQUENCES if row.unit is not Unit.FLAG}
    keys["loadedAtStartup"] = spec.loaded_at_startup
    return keys


def _worker(worker: WorkerDescription) -> dict[str, object]:
    on_gpu = worker.gpu_id is not None
    keys: dict[str, object] = {
        "id": worker.id,
        "startTime": timestamp(worker.started),
        "status": worker_status(worker),
        "memoryUsage": worker.memory,
        **memory_apart(worker),
        "pid": process_id(worker),
        "gpu": on_gpu,
        "gpuUsage": (worker.gpu_usage or "failed to obtained gpu usage") if on_gpu else "N/A",
    }
    return keys | worker_history(worker)
