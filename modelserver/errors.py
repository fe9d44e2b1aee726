"""What a client can be told: one class for each refusal or failure, with its data and no HTTP code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelserver.language.attributes import frozen

if TYPE_CHECKING:
    # For types only: worker processes start without the values that the server alone makes.
    from modelserver.spec import WorkerFailure


class ServingError(Exception):
    """Something that a client is told. Subclasses carry data; ``str`` makes the sentence."""


@frozen
class ModelNotFound(ServingError):
    """No model has this name."""

    model: str

    def __str__(self) -> str:
        return f"Model not found: {self.model}"


@frozen
class VersionNotFound(ServingError):
    """The model exists, this version of it does not."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"Model version: {self.version} does not exist for model: {self.model}"


@frozen
class RouteNotFound(ServingError):
    """No route has this path."""

    path: str = ""

    def __str__(self) -> str:
        return "Requested resource is not found, please refer to API document."


@frozen
class MethodNotAllowed(ServingError):
    """The route exists, but not with this method."""

    method: str = ""

    def __str__(self) -> str:
        return "Requested method is not allowed, please refer to API document."


@frozen
class BadRequest(ServingError):
    """The request itself is wrong."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class ParameterMissing(ServingError):
    """A parameter that the call needs is absent."""

    name: str

    def __str__(self) -> str:
        return f"Parameter {self.name} is required."


@frozen
class BodyTooLarge(ServingError):
    """The body is larger than ``max_request_size`` (bytes)."""

    limit: int

    def __str__(self) -> str:
        return f"Request body is larger than max_request_size ({self.limit} bytes)."


@frozen
class ArchiveNotFound(ServingError):
    """The URL of a registration leads to nothing that may be read."""

    url: str
    reason: str = ""

    def __str__(self) -> str:
        return self.reason or f"Model not found at: {self.url}"


@frozen
class UrlInvalid(ArchiveNotFound):
    """The URL of a registration is none, or is written so that two programs could read it differently."""

    def __str__(self) -> str:
        return f"Invalid model url: {self.url}"


@frozen
class StoreNotConfigured(ServingError):
    """There is no model store to look in."""

    def __str__(self) -> str:
        return "Model store has not been configured."


@frozen
class DownloadFailed(ServingError):
    """
    The archive could not be fetched.

    :param status: what an HTTP server answered instead, or None.
    :param timed_out: it took too long.
    """

    url: str
    reason: str = ""
    status: int | None = None
    timed_out: bool = False

    def __str__(self) -> str:
        return f"Failed to download archive from: {self.url}" + (f" ({self.reason})" if self.reason else "")


@frozen
class ArchiveExists(ServingError):
    """The model store has a file already where the archive should be downloaded to."""

    file: str

    def __str__(self) -> str:
        return f"Model file already exists {self.file}"


@frozen
class ArchiveInvalid(ServingError):
    """The archive or its manifest breaks a rule; ``reason`` is the peers' text where they have one."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class DependenciesFailed(ServingError):
    """What an archive requires could not be installed; ``cause`` is what the installer said last."""

    reason: str
    cause: str = ""

    def __str__(self) -> str:
        return self.reason


@frozen
class VersionExists(ServingError):
    """This version of the model is registered already."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"Model version {self.version} is already registered for model {self.model}"


@frozen
class DefaultVersionInUse(ServingError):
    """The default version cannot go while others exist."""

    model: str

    def __str__(self) -> str:
        return f"Cannot remove default version for model {self.model}"


@frozen
class NoSuchVersionToDefault(ServingError):
    """A version that should become the default does not exist."""

    model: str
    version: str

    def __str__(self) -> str:
        return f"Model version {self.version} does not exist for model {self.model}"


@frozen
class QueueFull(ServingError):
    """The version's queue is at its limit; ``limit_name`` is the setting that was hit."""

    model: str
    version: str | None
    limit: int
    limit_name: str = "job_queue_size"
    retry_after: float = 1.0

    def __str__(self) -> str:
        return f"Model {self.model!r} is over {self.limit_name} ({self.limit}); try again later."


@frozen
class ServerFull(QueueFull):
    """The server is at a limit of its own, whichever model is asked."""

    def __str__(self) -> str:
        return f"The server is over {self.limit_name} ({self.limit}); try again later."


@frozen
class NoWorkers(ServingError):
    """
    The version has no worker, and none is on its way.

    :param retry_after: seconds after which another server, or this one, may serve the request; 0: never.
    """

    model: str
    version: str | None
    reason: str = ""
    retry_after: float = 0.0

    def __str__(self) -> str:
        why = f" ({self.reason})" if self.reason else ""
        return f"Model {self.model!r} has no worker to serve the request.{why}"


@frozen
class WorkerDied(ServingError):
    """The worker ended with this request in hand."""

    failure: WorkerFailure

    def __str__(self) -> str:
        return f"Worker died: {self.failure}."


@frozen
class Unregistered(ServingError):
    """The version went while the request was waiting."""

    model: str

    def __str__(self) -> str:
        return f"Model {self.model!r} was unregistered while the request was waiting."


@frozen
class DeadlinePassed(ServingError):
    """The request's own time was over before a worker had it (``started`` false) or while one did."""

    seconds: float
    started: bool = False

    def __str__(self) -> str:
        where = "while a worker had it" if self.started else "in the queue"
        return f"The request's time of {self.seconds:g} s was over {where}."


@frozen
class ClientGone(ServingError):
    """The client left; nobody reads this answer."""

    def __str__(self) -> str:
        return "The client is gone."


@frozen
class PredictionFailed(ServingError):
    """
    The handler failed, for one item or for its whole batch.

    :param code: the status the peers give to this failure.
    :param exception: the handler's exception type, or empty.
    :param text: the handler's exception text.
    """

    code: int
    message: str
    exception: str = ""
    text: str = ""

    def __str__(self) -> str:
        return self.message


@frozen
class ResponseTooLarge(ServingError):
    """The handler's answer is larger than ``max_response_size`` (bytes)."""

    size: int
    limit: int

    def __str__(self) -> str:
        return f"The response of {self.size} bytes is larger than max_response_size ({self.limit} bytes)."


@frozen
class WorkersFailed(ServingError):
    """The workers that a call asked for could not start."""

    model: str
    version: str | None
    failure: WorkerFailure | None = None

    def __str__(self) -> str:
        return f"Failed to start workers for model {self.model} version: {self.version}"


@frozen
class DrainTimedOut(ServingError):
    """Workers did not end in time."""

    model: str

    def __str__(self) -> str:
        return f"Timed out while cleaning resources: {self.model}"


@frozen
class DescribeUnavailable(ServingError):
    """No worker can answer a customized describe."""

    model: str

    def __str__(self) -> str:
        return (
            f'Model "{self.model}" has no worker to serve describe request. '
            "Please use scale workers API to add workers."
        )


@frozen
class NotEnoughDevices(ServingError):
    """
    There are not the GPUs that a worker needs.

    :param level: how many it spans; 0: it is content with one.
    :param reason: why those that exist are none; empty: there are too few.
    """

    model: str
    level: int
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return f"No gpu device for model:{self.model}: {self.reason}"
        return f"No enough gpu devices for model:{self.model} parallelLevel:{self.level}"


@frozen
class InternalError(ServingError):
    """A defect of the server; the log has the traceback."""

    reason: str = "Internal server error."

    def __str__(self) -> str:
        return self.reason


@frozen
class AccessDenied(ServingError):
    """The token is missing, wrong or expired. ``about`` is Authorization, or Authentication for /token."""

    about: str = "Authorization"

    def __str__(self) -> str:
        return f"Token {self.about} failed. Token either incorrect, expired, or not provided correctly"


@frozen
class PageRefused(ServingError):
    """
    A web page that may not change this server asks for that.

    :param what: the header field that tells of it.
    :param name: what would have to be in ``allowed_hosts``; empty: nothing would help.
    """

    what: str
    name: str = ""

    def __str__(self) -> str:
        if self.name:
            way = f"To allow it, add {self.name} to allowed_hosts in the server's configuration."
        else:
            way = "To allow it, send it from a program that is no browser, or from a host in allowed_hosts."
        return f"Web pages of other sites cannot change this server ({self.what}). {way}"
