"""
How errors of the server end calls: a code, the text of the REST API, and TorchServe's second line.

The second line is the name of a class of TorchServe's, which its clients look for:
https://github.com/pytorch/serve/blob/master/frontend/server/src/main/java/org/pytorch/serve/grpcimpl/InferenceImpl.java
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from modelserver import errors
from modelserver.core.shortage import MemoryShort
from modelserver.interfaces import Dialect
from modelserver.language.attributes import frozen
from modelserver.rpc.codes import CallStatus, Code, Metadatum

_OF_HTTP: Mapping[int, Code] = MappingProxyType(
    {
        400: Code.INVALID_ARGUMENT,
        401: Code.UNAUTHENTICATED,
        403: Code.PERMISSION_DENIED,
        404: Code.NOT_FOUND,
        409: Code.ABORTED,
        413: Code.RESOURCE_EXHAUSTED,
        416: Code.OUT_OF_RANGE,
        429: Code.RESOURCE_EXHAUSTED,
        499: Code.CANCELLED,
        501: Code.UNIMPLEMENTED,
        503: Code.UNAVAILABLE,
        504: Code.DEADLINE_EXCEEDED,
    }
)
_OF_HUNDREDS: Mapping[int, Code] = MappingProxyType(
    {2: Code.OK, 4: Code.FAILED_PRECONDITION, 5: Code.INTERNAL}
)
_PACKAGES: Mapping[str, str] = MappingProxyType(
    {
        "DownloadArchiveException": "org.pytorch.serve.archive",
        "InvalidModelException": "org.pytorch.serve.archive.model",
        "ModelException": "org.pytorch.serve.archive.model",
        "ModelNotFoundException": "org.pytorch.serve.archive.model",
        "ModelVersionNotFoundException": "org.pytorch.serve.archive.model",
    }
)
_OTHERS = "org.pytorch.serve.http"
_NO_QUEUE = "InternalServerException.()"
"""The second line where TorchServe did not get to make an exception, in its own spelling."""


def code_of_http(status: int) -> Code:
    """Return the code that TorchServe has for an HTTP status of a handler or of its REST API."""
    return _OF_HTTP.get(status) or _OF_HUNDREDS.get(status // 100, Code.UNKNOWN)


@frozen
class StatusRow:
    """
    What is not as the REST API's status says.

    :param code: the code, or a function that finds it in the error and the HTTP status.
    :param second: the second line; None: TorchServe's name for the REST API's type; empty: there is none.
    """

    code: Code | Callable[[Any, int], Code]
    second: str | None = None


def _handler_code(error: errors.PredictionFailed, status: int) -> Code:
    """Return the code for the handler's own status; the REST API has another one for some."""
    return code_of_http(error.code)


def _worker_code(error: errors.WorkerDied, status: int) -> Code:
    return Code.RESOURCE_EXHAUSTED if status == 507 else Code.INTERNAL


def _queue_code(error: errors.QueueFull, status: int) -> Code:
    """Return what overload means: what the operator says of it for REST (``overload_status``) is heard."""
    return Code.RESOURCE_EXHAUSTED if status == 429 else Code.INTERNAL


def _no_worker_code(error: errors.NoWorkers, status: int) -> Code:
    """Return UNAVAILABLE only where another server may serve the call: clients try again, then."""
    return Code.UNAVAILABLE if error.retry_after else Code.INTERNAL


ENDINGS: Mapping[type[errors.ServingError], StatusRow] = MappingProxyType(
    {
        errors.ArchiveExists: StatusRow(Code.INTERNAL, f"{_OTHERS}.InternalServerException"),
        errors.VersionExists: StatusRow(Code.ALREADY_EXISTS),
        errors.DefaultVersionInUse: StatusRow(Code.FAILED_PRECONDITION),
        errors.WorkersFailed: StatusRow(Code.INTERNAL),
        errors.DrainTimedOut: StatusRow(Code.DEADLINE_EXCEEDED),
        errors.DescribeUnavailable: StatusRow(Code.INTERNAL, _NO_QUEUE),
        errors.ServerFull: StatusRow(Code.RESOURCE_EXHAUSTED),
        MemoryShort: StatusRow(Code.RESOURCE_EXHAUSTED),
        errors.QueueFull: StatusRow(_queue_code, _NO_QUEUE),
        errors.NoWorkers: StatusRow(_no_worker_code, _NO_QUEUE),
        errors.WorkerDied: StatusRow(_worker_code),
        errors.DeadlinePassed: StatusRow(Code.DEADLINE_EXCEEDED),
        errors.ClientGone: StatusRow(Code.CANCELLED),
        errors.PredictionFailed: StatusRow(_handler_code),
        errors.ResponseTooLarge: StatusRow(Code.RESOURCE_EXHAUSTED),
        errors.AccessDenied: StatusRow(Code.PERMISSION_DENIED, ""),
    }
)
"""What ends calls of every service; other errors end as the REST API's status says."""

PREDICTION_ENDINGS: Mapping[type[errors.ServingError], StatusRow] = MappingProxyType(
    {
        **ENDINGS,
        errors.ModelNotFound: StatusRow(Code.INTERNAL),
        errors.VersionNotFound: StatusRow(Code.INTERNAL),
        errors.ParameterMissing: StatusRow(Code.INTERNAL, "BadRequestException.()"),
    }
)
"""What ends predictions: TorchServe has other codes there than for the same errors of management."""


QUESTION_ENDINGS: Mapping[type[errors.ServingError], StatusRow] = MappingProxyType(
    {**ENDINGS, errors.ParameterMissing: PREDICTION_ENDINGS[errors.ParameterMissing]}
)
"""What ends questions about models on the inference listener."""


@frozen
class Statuses:
    """
    Says how calls end, with the texts of the REST API.

    :param table: of endings; the nearest class of an error counts.
    """

    dialect: Dialect
    table: Mapping[type[errors.ServingError], StatusRow] = ENDINGS

    def of(self, error: errors.ServingError) -> CallStatus:
        """Return how a call ends that failed with an error."""
        reply = self.dialect.failed(error)
        body = json.loads(reply.body)
        ending = next((self.table[kind] for kind in type(error).__mro__ if kind in self.table), None)
        code, second = code_of_http(reply.code), None
        if ending is not None:
            code = ending.code if isinstance(ending.code, Code) else ending.code(error, reply.code)
            second = ending.second
        if second is None:
            second = f"{_PACKAGES.get(body['type'], _OTHERS)}.{body['type']}"
        message = f"{body['message']}\n{second}" if second else str(body["message"])
        trailing: list[Metadatum] = [
            (name.decode(), value.decode()) for name, value in reply.headers if name == b"retry-after"
        ]
        return CallStatus(code, message, trailing)
