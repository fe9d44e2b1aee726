"""TorchServe's words for errors, row by row."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from modelserver import errors
from modelserver.core.shortage import MemoryShort
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from tests.harness.server_errors import LOAD_FAILURE, OUT_OF_MEMORY, of_the_server

NO_WORKER = (
    "has no worker to serve inference request. Please use scale workers API to add workers. "
    "If this is a sequence inference, please check if it is closed, or expired; "
    "or exceeds maxSequenceJobQueueSize"
)

# error, code, type, message
REFUSALS = [
    (errors.ModelNotFound("m"), 404, "ModelNotFoundException", "Model not found: m"),
    (
        errors.VersionNotFound("m", "2"),
        404,
        "ModelVersionNotFoundException",
        "Model version: 2 does not exist for model: m",
    ),
    (
        errors.RouteNotFound("/x"),
        404,
        "ResourceNotFoundException",
        "Requested resource is not found, please refer to API document.",
    ),
    (
        errors.MethodNotAllowed("PATCH"),
        405,
        "MethodNotAllowedException",
        "Requested method is not allowed, please refer to API document.",
    ),
    (errors.BadRequest("Invalid HTTP message."), 400, "BadRequestException", "Invalid HTTP message."),
    (errors.ParameterMissing("url"), 400, "BadRequestException", "Parameter url is required."),
    (
        errors.BodyTooLarge(9),
        413,
        "RequestEntityTooLargeException",
        "Request body is larger than max_request_size (9 bytes).",
    ),
    (errors.ArchiveNotFound("u.mar"), 404, "ModelNotFoundException", "Model not found at: u.mar"),
    (
        errors.ArchiveNotFound("../u", "Relative path is not allowed in url: ../u"),
        404,
        "ModelNotFoundException",
        "Relative path is not allowed in url: ../u",
    ),
    (
        errors.StoreNotConfigured(),
        404,
        "ModelNotFoundException",
        "Model store has not been configured.",
    ),
    (
        errors.UrlInvalid("http://x:y/z"),
        400,
        "DownloadArchiveException",
        "Failed to download archive from: http://x:y/z",
    ),
    (
        errors.DownloadFailed("http://x/y", "refused"),
        400,
        "DownloadArchiveException",
        "Failed to download archive from: http://x/y",
    ),
    (
        errors.ArchiveExists("m.mar"),
        409,
        "ConflictStatusException",
        "Model file already exists m.mar",
    ),
    (
        errors.ArchiveInvalid("Model name is not defined."),
        400,
        "InvalidModelException",
        "Model name is not defined.",
    ),
    (
        errors.DependenciesFailed("Custom pip package installation failed for model m"),
        400,
        "ModelException",
        "Custom pip package installation failed for model m",
    ),
    (
        errors.VersionExists("m", "1.0"),
        409,
        "ConflictStatusException",
        "Model version 1.0 is already registered for model m",
    ),
    (
        errors.DefaultVersionInUse("m"),
        403,
        "InvalidModelVersionException",
        "Cannot remove default version for model m",
    ),
    (
        errors.NoSuchVersionToDefault("m", "3"),
        404,
        "ModelVersionNotFoundException",
        "Model version 3 does not exist for model m",
    ),
    (errors.QueueFull("m", None, 100), 503, "ServiceUnavailableException", f'Model "m" {NO_WORKER}'),
    (
        MemoryShort("m", "1.0", 300, 800, 1000),
        507,
        "OutOfMemoryError",
        "Model 'm' version 1.0 needs 300 bytes (by the size of its archive); 800 of the 1000 bytes of "
        "model_memory_limit are reserved, and no idle model can leave.",
    ),
    (
        errors.NoWorkers("m", "1.0"),
        503,
        "ServiceUnavailableException",
        f'Model "m" Version 1.0" {NO_WORKER}',
    ),
    (errors.WorkerDied(LOAD_FAILURE), 500, "InternalServerException", "Worker died."),
    (errors.WorkerDied(OUT_OF_MEMORY), 507, "InternalServerException", "Worker died."),
    (
        errors.Unregistered("m"),
        503,
        "ServiceUnavailableException",
        "Model 'm' was unregistered while the request was waiting.",
    ),
    (
        errors.DeadlinePassed(0.5),
        408,
        "RequestTimeoutException",
        "The request's time of 0.5 s was over in the queue.",
    ),
    (
        errors.DeadlinePassed(2.0, started=True),
        504,
        "RequestTimeoutException",
        "The request's time of 2 s was over while a worker had it.",
    ),
    (errors.ClientGone(), 408, "RequestTimeoutException", "The client is gone."),
    (
        errors.PredictionFailed(503, "Prediction failed"),
        503,
        "InternalServerException",
        "Prediction failed",
    ),
    (errors.PredictionFailed(599, "mine"), 599, "InternalServerException", "mine"),
    (errors.PredictionFailed(413, "mine"), 507, "InternalServerException", "mine"),
    (errors.PredictionFailed(100, "mine"), 500, "InternalServerException", "mine"),
    (
        errors.ResponseTooLarge(11, 10),
        500,
        "InternalServerException",
        "The response of 11 bytes is larger than max_response_size (10 bytes).",
    ),
    (
        errors.WorkersFailed("m", "1.0", LOAD_FAILURE),
        500,
        "InternalServerException",
        "Failed to start workers for model m version: 1.0",
    ),
    (
        errors.WorkersFailed("m", None),
        500,
        "InternalServerException",
        "Failed to start workers for model m version: null",
    ),
    (
        errors.WorkersFailed("m", "1.0", OUT_OF_MEMORY),
        507,
        "InternalServerException",
        "Failed to start workers for model m version: 1.0",
    ),
    (
        errors.DrainTimedOut("m"),
        408,
        "RequestTimeoutException",
        "Timed out while cleaning resources: m",
    ),
    (
        errors.DescribeUnavailable("m"),
        503,
        "ServiceUnavailableException",
        'Model "m" has no worker to serve describe request. Please use scale workers API to add workers.',
    ),
    (
        errors.NotEnoughDevices("m", 4),
        500,
        "WorkerInitializationException",
        "No enough gpu devices for model:m parallelLevel:4",
    ),
    (
        errors.InternalError("Failed to get customized model matadata."),
        500,
        "InternalServerException",
        "Failed to get customized model matadata.",
    ),
    (
        errors.AccessDenied(),
        400,
        "InvalidKeyException",
        "Token Authorization failed. Token either incorrect, expired, or not provided correctly",
    ),
    (
        errors.AccessDenied("Authentication"),
        400,
        "InvalidKeyException",
        "Token Authentication failed. Token either incorrect, expired, or not provided correctly",
    ),
    (
        errors.PageRefused("Host: a.example", "a.example"),
        403,
        "ForbiddenException",
        "Web pages of other sites cannot change this server (Host: a.example). "
        "To allow it, add a.example to allowed_hosts in the server's configuration.",
    ),
    (
        errors.PageRefused("Origin: null"),
        403,
        "ForbiddenException",
        "Web pages of other sites cannot change this server (Origin: null). "
        "To allow it, send it from a program that is no browser, or from a host in allowed_hosts.",
    ),
]


class RefusalTests(SynchronousTestCase):
    """Each error has its code, type and sentence."""

    def test_every_error_of_the_server_has_a_row(self) -> None:
        told = {type(error) for error, *_ in REFUSALS}
        self.assertEqual(set(of_the_server()) - told, set())

    def test_code_type_and_message(self) -> None:
        for error, code, kind, message in REFUSALS:
            with self.subTest(error=error):
                reply = TorchServe().failed(error)
                body = json.loads(reply.body)
                self.assertEqual(
                    (reply.code, body["code"], body["type"], body["message"]), (code, code, kind, message)
                )
                self.assertEqual(list(body)[:3], ["code", "type", "message"])

    def test_a_class_of_a_later_layer_is_told_as_its_parent(self) -> None:
        class Odd(errors.ServingError):
            def __str__(self) -> str:
                return "odd"

        reply = TorchServe().failed(Odd())
        self.assertEqual(reply.code, 500)
        self.assertEqual(json.loads(reply.body)["type"], "InternalServerException")

    def test_a_full_queue_names_its_limit_and_when_to_come_back(self) -> None:
        reply = TorchServe().failed(errors.QueueFull("m", None, 64, "job_queue_bytes", retry_after=1.2))
        body = json.loads(reply.body)
        self.assertEqual((body["limit"], body["limitValue"]), ("job_queue_bytes", 64))
        self.assertIn((b"retry-after", b"2"), reply.headers)

    def test_short_memory_tells_the_numbers_and_when_to_come_back(self) -> None:
        for dialect in (TorchServe(), MultiModelServer()):
            reply = dialect.failed(MemoryShort("m", "1.0", 300, 800, 1000, retry_after=1.0))
            body = json.loads(reply.body)
            numbers = {key: body[key] for key in ("limit", "limitValue", "reserved", "needed")}
            self.assertEqual(
                numbers, {"limit": "model_memory_limit", "limitValue": 1000, "reserved": 800, "needed": 300}
            )
            self.assertIn((b"retry-after", b"1"), reply.headers)

    def test_overload_status_replaces_the_code_of_a_full_queue_only(self) -> None:
        dialect = TorchServe(overload_status=429)
        self.assertEqual(dialect.failed(errors.QueueFull("m", None, 1)).code, 429)
        self.assertEqual(dialect.failed(errors.NoWorkers("m", None)).code, 503)

    def test_the_cause_is_told(self) -> None:
        body = json.loads(TorchServe().failed(errors.PredictionFailed(503, "x", "KeyError", "'k'")).body)
        self.assertEqual((body["exception"], body["text"]), ("KeyError", "'k'"))
        body = json.loads(TorchServe().failed(errors.WorkersFailed("m", "1", LOAD_FAILURE)).body)
        self.assertEqual(body["exception"], "ImportError")
        self.assertEqual(
            body["failure"],
            {
                "type": "ImportError",
                "text": "No module named 'nothing'",
                "exitCode": 1,
                "traceback": ["line 1"],
                "stderr": ["sad"],
                "at": "1970-01-01T00:00:00.500Z",
            },
        )
        body = json.loads(TorchServe().failed(errors.DownloadFailed("u", "404 Not Found")).body)
        self.assertEqual(body["reason"], "404 Not Found")

    def test_management_may_be_told_more_than_predictions(self) -> None:
        for dialect in (TorchServe(expose_errors=False), MultiModelServer(expose_errors=False)):
            for error, is_told in (
                (errors.PredictionFailed(503, "x", "KeyError", "'k'"), False),
                (errors.WorkerDied(LOAD_FAILURE), False),
                (errors.NoWorkers("m", None, "no module"), False),
                (errors.WorkersFailed("m", "1", LOAD_FAILURE), True),
                (errors.DownloadFailed("u", "404 Not Found"), True),
                (errors.DependenciesFailed("pip failed", "no such package"), True),
            ):
                told = set(json.loads(dialect.failed(error).body)) - {"code", "type", "message", "limit"}
                self.assertEqual(bool(told), is_told, error)

    def test_expose_errors_off_hides_the_cause(self) -> None:
        dialect = TorchServe(expose_errors=False, expose_load_errors=False)
        for error in (
            errors.PredictionFailed(503, "x", "KeyError", "'k'"),
            errors.WorkerDied(LOAD_FAILURE),
            errors.WorkersFailed("m", "1", LOAD_FAILURE),
            errors.DownloadFailed("u", "404 Not Found"),
        ):
            body = json.loads(dialect.failed(error).body)
            self.assertEqual(list(body), ["code", "type", "message"])
