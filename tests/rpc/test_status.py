"""How errors end calls, row by row: TorchServe's codes, texts and second lines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver import errors
from modelserver.core.shortage import MemoryShort
from modelserver.interfaces import Dialect
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rpc.codes import Code
from modelserver.rpc.status import ENDINGS, PREDICTION_ENDINGS, Statuses, code_of_http
from modelserver.spec import WorkerFailure
from tests.harness.server_errors import OUT_OF_MEMORY, of_the_server
from tests.rest.dialects.test_torchserve_errors import REFUSALS

HTTP = "org.pytorch.serve.http"
MODEL = "org.pytorch.serve.archive.model"
NO_WORKER = (
    "has no worker to serve inference request. Please use scale workers API to add workers. "
    "If this is a sequence inference, please check if it is closed, or expired; "
    "or exceeds maxSequenceJobQueueSize"
)
DIED = WorkerFailure("exit", 0.0, exit_code=1)

MANAGEMENT: tuple[tuple[errors.ServingError, str, str, str], ...] = (
    (
        errors.ParameterMissing("url"),
        "INVALID_ARGUMENT",
        "Parameter url is required.",
        f"{HTTP}.BadRequestException",
    ),
    (errors.BadRequest("no"), "INVALID_ARGUMENT", "no", f"{HTTP}.BadRequestException"),
    (errors.ModelNotFound("zz"), "NOT_FOUND", "Model not found: zz", f"{MODEL}.ModelNotFoundException"),
    (
        errors.VersionNotFound("m", "9.9"),
        "NOT_FOUND",
        "Model version: 9.9 does not exist for model: m",
        f"{MODEL}.ModelVersionNotFoundException",
    ),
    (
        errors.NoSuchVersionToDefault("m", "9.9"),
        "NOT_FOUND",
        "Model version 9.9 does not exist for model m",
        f"{MODEL}.ModelVersionNotFoundException",
    ),
    (
        errors.ArchiveNotFound("zz.mar"),
        "NOT_FOUND",
        "Model not found at: zz.mar",
        f"{MODEL}.ModelNotFoundException",
    ),
    (
        errors.DownloadFailed("http://h/zz.mar"),
        "INVALID_ARGUMENT",
        "Failed to download archive from: http://h/zz.mar",
        "org.pytorch.serve.archive.DownloadArchiveException",
    ),
    (
        errors.ArchiveInvalid("Model name is not defined."),
        "INVALID_ARGUMENT",
        "Model name is not defined.",
        f"{MODEL}.InvalidModelException",
    ),
    (
        errors.ArchiveExists("zz.mar"),
        "INTERNAL",
        "Model file already exists zz.mar",
        f"{HTTP}.InternalServerException",
    ),
    (
        errors.VersionExists("m", "1.0"),
        "ALREADY_EXISTS",
        "Model version 1.0 is already registered for model m",
        f"{HTTP}.ConflictStatusException",
    ),
    (
        errors.DefaultVersionInUse("m"),
        "FAILED_PRECONDITION",
        "Cannot remove default version for model m",
        f"{HTTP}.InvalidModelVersionException",
    ),
    (
        errors.WorkersFailed("m", None, OUT_OF_MEMORY),
        "INTERNAL",
        "Failed to start workers for model m version: null",
        f"{HTTP}.InternalServerException",
    ),
    (
        errors.DrainTimedOut("m"),
        "DEADLINE_EXCEEDED",
        "Timed out while cleaning resources: m",
        f"{HTTP}.RequestTimeoutException",
    ),
    (
        errors.DescribeUnavailable("m"),
        "INTERNAL",
        'Model "m" has no worker to serve describe request. Please use scale workers API to add workers.',
        "InternalServerException.()",
    ),
)
PREDICTION: tuple[tuple[errors.ServingError, str, str, str], ...] = (
    (errors.ModelNotFound("zz"), "INTERNAL", "Model not found: zz", f"{MODEL}.ModelNotFoundException"),
    (
        errors.VersionNotFound("m", "9.9"),
        "INTERNAL",
        "Model version: 9.9 does not exist for model: m",
        f"{MODEL}.ModelVersionNotFoundException",
    ),
    (
        errors.ParameterMissing("model_name"),
        "INTERNAL",
        "Parameter model_name is required.",
        "BadRequestException.()",
    ),
    (
        MemoryShort("m", "1.0", 3, 8, 10),
        "RESOURCE_EXHAUSTED",
        "Model 'm' version 1.0 needs 3 bytes (by the size of its archive); 8 of the 10 bytes of "
        "model_memory_limit are reserved, and no idle model can leave.",
        f"{HTTP}.OutOfMemoryError",
    ),
    (errors.NoWorkers("m", None), "INTERNAL", f'Model "m" {NO_WORKER}', "InternalServerException.()"),
    (
        errors.QueueFull("m", "1.0", 5),
        "INTERNAL",
        f'Model "m" Version 1.0" {NO_WORKER}',
        "InternalServerException.()",
    ),
    (
        errors.NoWorkers("m", None, "the server is stopping", 1.0),
        "UNAVAILABLE",
        f'Model "m" {NO_WORKER}',
        "InternalServerException.()",
    ),
    (
        errors.PredictionFailed(503, "Prediction failed"),
        "UNAVAILABLE",
        "Prediction failed",
        f"{HTTP}.InternalServerException",
    ),
    (
        errors.PredictionFailed(507, "Out of resources"),
        "INTERNAL",
        "Out of resources",
        f"{HTTP}.InternalServerException",
    ),
    (
        errors.PredictionFailed(413, "too much"),
        "RESOURCE_EXHAUSTED",
        "too much",
        f"{HTTP}.InternalServerException",
    ),
    (errors.WorkerDied(DIED), "INTERNAL", "Worker died.", f"{HTTP}.InternalServerException"),
    (
        errors.WorkerDied(OUT_OF_MEMORY),
        "RESOURCE_EXHAUSTED",
        "Worker died.",
        f"{HTTP}.InternalServerException",
    ),
    (
        errors.ResponseTooLarge(11, 10),
        "RESOURCE_EXHAUSTED",
        "The response of 11 bytes is larger than max_response_size (10 bytes).",
        f"{HTTP}.InternalServerException",
    ),
    (
        errors.DeadlinePassed(2.0, started=True),
        "DEADLINE_EXCEEDED",
        "The request's time of 2 s was over while a worker had it.",
        f"{HTTP}.RequestTimeoutException",
    ),
    (
        errors.BodyTooLarge(9),
        "RESOURCE_EXHAUSTED",
        "Request body is larger than max_request_size (9 bytes).",
        f"{HTTP}.RequestEntityTooLargeException",
    ),
)
CODES = {
    200: "OK",
    204: "OK",
    302: "UNKNOWN",
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    416: "OUT_OF_RANGE",
    418: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    507: "INTERNAL",
    600: "UNKNOWN",
}


class StatusTests(SynchronousTestCase):
    """``Statuses``."""

    def test_errors_of_management(self) -> None:
        self.compare(Statuses(TorchServe()), MANAGEMENT)

    def test_errors_of_predictions(self) -> None:
        self.compare(Statuses(TorchServe(), PREDICTION_ENDINGS), PREDICTION)

    def compare(
        self, statuses: Statuses, rows: tuple[tuple[errors.ServingError, str, str, str], ...]
    ) -> None:
        for error, code, text, second in rows:
            with self.subTest(error):
                found = statuses.of(error)
                self.assertEqual((found.code.name, found.message), (code, f"{text}\n{second}"))

    def test_refused_tokens_have_one_line(self) -> None:
        found = Statuses(TorchServe()).of(errors.AccessDenied())
        text = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"
        self.assertEqual((found.code, found.message), (Code.PERMISSION_DENIED, text))

    def test_texts_are_those_of_rest_for_every_error(self) -> None:
        covered = set()
        for error, _, kind, message in REFUSALS:
            covered.add(type(error))
            with self.subTest(error):
                found = Statuses(TorchServe()).of(error)
                self.assertEqual(found.message.split("\n")[0], message)
                self.assertIsNot(found.code, Code.OK)
                if type(error) not in ENDINGS:
                    self.assertTrue(found.message.endswith(f".{kind}"), found.message)
        self.assertLessEqual(set(of_the_server()), covered)

    def test_overload_is_what_the_operator_says_it_is(self) -> None:
        for status, code in ((503, Code.INTERNAL), (429, Code.RESOURCE_EXHAUSTED)):
            found = Statuses(TorchServe(overload_status=status)).of(errors.QueueFull("m", None, 5))
            self.assertEqual(found.code, code)

    def test_clients_are_told_when_to_come_again(self) -> None:
        found = Statuses(TorchServe()).of(errors.QueueFull("m", None, 5, retry_after=2.5))
        self.assertEqual(found.trailing, [("retry-after", "3")])

    def test_codes_of_http(self) -> None:
        for status, code in CODES.items():
            with self.subTest(status):
                self.assertEqual(code_of_http(status).name, code)

    def test_every_dialect_has_an_ending_for_every_error(self) -> None:
        dialects: tuple[Dialect, ...] = (TorchServe(), MultiModelServer())
        for dialect in dialects:
            for error, *_ in REFUSALS:
                with self.subTest(error, dialect=dialect.name):
                    self.assertTrue(Statuses(dialect).of(error).message)
