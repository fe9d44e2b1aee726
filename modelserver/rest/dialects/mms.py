"""Multi Model Server's words: codes, texts and JSON of its REST API.

https://github.com/awslabs/multi-model-server/blob/master/docs/management_api.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from modelserver import errors
from modelserver.core.shortage import MemoryShort
from modelserver.dialect_rules import MMS
from modelserver.interfaces import Reply
from modelserver.language.attributes import frozen
from modelserver.rest.dialects.bodies import (
    list_row,
    memory_apart,
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
from modelserver.spec import ModelSummary, VersionDescription, WorkerDescription
from modelserver.version_settings.table import BATCHES, WORKERS


def _no_worker(error: errors.QueueFull | errors.NoWorkers) -> str:
    return (
        f"No worker is available to serve request for model: {error.model}. "
        "Consider increasing job queue size."
    )


def _exists(error: errors.VersionExists) -> str:
    return f"Model {error.model} is already registered."


def _archive_not_found(error: errors.ArchiveNotFound) -> str:
    return error.reason or f"Model not found in model store: {error.url}"


def _download_failed(error: errors.DownloadFailed) -> str:
    if error.timed_out:
        return f"Download model timeout: {error.url}"
    code = "" if error.status is None else f", code: {error.status}"
    return f"Failed to download model from: {error.url}{code}"


REFUSALS: Mapping[type[errors.ServingError], Refusal] = MappingProxyType(
    {
        errors.ServingError: Refusal(500, "InternalServerException"),
        errors.ModelNotFound: Refusal(404, "ModelNotFoundException"),
        # Versions, their default and tokens are no words of MMS; the nearest that it has.
        errors.VersionNotFound: Refusal(404, "ModelNotFoundException"),
        errors.NoSuchVersionToDefault: Refusal(404, "ModelNotFoundException"),
        errors.DefaultVersionInUse: Refusal(409, "ConflictStatusException"),
        errors.AccessDenied: Refusal(400, "BadRequestException"),
        errors.PageRefused: Refusal(403, "ForbiddenException"),
        errors.RouteNotFound: Refusal(404, "ResourceNotFoundException"),
        errors.MethodNotAllowed: Refusal(405, "MethodNotAllowedException"),
        errors.BadRequest: Refusal(400, "BadRequestException"),
        errors.ParameterMissing: Refusal(400, "BadRequestException"),
        errors.BodyTooLarge: Refusal(413, "RequestEntityTooLargeException"),
        errors.ArchiveNotFound: Refusal(404, "ModelNotFoundException", _archive_not_found),
        errors.UrlInvalid: Refusal(404, "ModelNotFoundException"),
        errors.StoreNotConfigured: Refusal(404, "ModelNotFoundException"),
        errors.DownloadFailed: Refusal(400, "DownloadModelException", _download_failed),
        errors.ArchiveExists: Refusal(409, "ConflictStatusException"),
        errors.ArchiveInvalid: Refusal(400, "InvalidModelException"),
        errors.DependenciesFailed: Refusal(400, "ModelException"),
        errors.VersionExists: Refusal(409, "ConflictStatusException", _exists),
        errors.QueueFull: Refusal(503, "ServiceUnavailableException", _no_worker),
        errors.ServerFull: Refusal(503, "ServiceUnavailableException"),
        MemoryShort: Refusal(507, "OutOfMemoryError"),
        errors.NoWorkers: Refusal(503, "ServiceUnavailableException", _no_worker),
        errors.WorkerDied: Refusal(out_of_memory_code, "InternalServerException", said("Worker died.")),
        errors.Unregistered: Refusal(503, "ServiceUnavailableException"),
        errors.DeadlinePassed: Refusal(deadline_code, "RequestTimeoutException"),
        errors.ClientGone: Refusal(408, "RequestTimeoutException"),
        errors.PredictionFailed: Refusal(prediction_code, "InternalServerException"),
        errors.ResponseTooLarge: Refusal(500, "InternalServerException"),
        errors.WorkersFailed: Refusal(
            out_of_memory_code, "InternalServerException", said("Failed to start workers")
        ),
        errors.DrainTimedOut: Refusal(408, "RequestTimeoutException"),
        errors.DescribeUnavailable: Refusal(503, "ServiceUnavailableException"),
        errors.NotEnoughDevices: Refusal(500, "WorkerInitializationException"),
        errors.InternalError: Refusal(500, "InternalServerException"),
    }
)


@frozen
class MultiModelServer:
    """
    The dialect of MMS 1.1.11.

    :param expose_errors: answers of predictions tell the handler's exception and why a worker died.
    :param expose_load_errors: answers of management calls tell why a load, a download or pip failed.
    :param overload_status: the code for a full queue, 503 in MMS.
    :param trace_id: returns the id of the present request's trace, or nothing.
    """

    expose_errors: bool = True
    expose_load_errors: bool = True
    overload_status: int = 503
    trace_id: Callable[[], str] = str

    @property
    def name(self) -> str:
        """``mms``."""
        return MMS.name

    def failed(self, error: errors.ServingError) -> Reply:
        """An error body, and the status that goes with it."""
        return refuse(
            REFUSALS,
            error,
            expose_errors=self.expose_load_errors if is_of_management(error) else self.expose_errors,
            overload_status=self.overload_status,
            escape_html=True,
            trace_id=self.trace_id(),
        )

    def status(self, text: str, code: int = 200) -> Reply:
        """``{"status": text}``."""
        return _reply({"status": text}, code)

    def registered(self, name: str, version: str, workers: int, synchronous: bool) -> Reply:
        """A registration that came to its end, or goes on in the background."""
        if workers <= 0:
            return self.status(f'Model "{name}" registered')
        return self.scaled(name, None, workers, synchronous, complete=True)

    def scaled(
        self, name: str, version: str | None, workers: int, synchronous: bool, complete: bool
    ) -> Reply:
        """A change of the number of workers."""
        if not synchronous:
            return self.status("Processing worker updates...", 202)
        if not complete:
            return self.status("Workers scaling in progress...", 210)._replace(phrase=b"Partial Success")
        return self.status("Workers scaled")

    def unregistered(self, name: str) -> Reply:
        """A model that is gone."""
        return self.status(f'Model "{name}" unregistered')

    def default_set(self, name: str, version: str) -> Reply:
        """A new default version: MMS has none, so this is TorchServe's sentence."""
        return self.status(f'Default version successfully updated for model "{name}" to "{version}"')

    def described(self, versions: Sequence[VersionDescription]) -> Reply:
        """The model, as an object: the first of ``versions``."""
        return _reply(_version(versions[0]))

    def listed(self, models: Sequence[ModelSummary], next_token: str | None) -> Reply:
        """A page of the list of models."""
        token = {} if next_token is None else {"nextPageToken": next_token}
        return _reply(token | {"models": [list_row(model) for model in models]})

    def pinged(self, wanted: int, running: int, healthy: bool) -> Reply:
        """The state of the whole server: always 200; the text compares the workers wanted and running."""
        if running >= wanted:
            return self.status("Healthy")
        return self.status("Partial Healthy" if running > 0 else "Unhealthy")


def _reply(value: object, code: int = 200) -> Reply:
    return Reply(code, pretty(value, escape_html=True))


def _version(description: VersionDescription) -> dict[str, object]:
    spec = description.spec
    keys: dict[str, object] = {"modelName": spec.name, "modelVersion": spec.version, "modelUrl": spec.url}
    if spec.engine is not None:
        keys["engine"] = spec.engine
    keys |= {
        "runtime": spec.runtime,
        **described_settings(spec, (*WORKERS, *BATCHES)),
        **chosen_delay(description),
        **scaling_of(description),
        "loadedAtStartup": spec.loaded_at_startup,
        "workers": [_worker(worker) for worker in description.workers],
    }
    return keys | template_memory(description.template) | residence(description)


def _worker(worker: WorkerDescription) -> dict[str, object]:
    keys: dict[str, object] = {
        "id": worker.id,
        "startTime": timestamp(worker.started),
        "status": worker_status(worker),
        "gpu": worker.gpu_id is not None,
        "memoryUsage": worker.memory,
        **memory_apart(worker),
    }
    return keys | worker_history(worker)
