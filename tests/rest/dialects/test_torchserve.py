"""TorchServe's words, row by row."""

from __future__ import annotations

import json
from pathlib import Path

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver import errors
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.spec import (
    ModelSummary,
    Sequences,
    Timeouts,
    VersionDescription,
    VersionSpec,
    WorkerDescription,
)
from tests.harness.server_errors import of_the_server

FAILURE = errors.WorkerFailure(
    cause="load",
    at=0.5,
    exit_code=1,
    exception="ImportError",
    text="No module named 'nothing'",
    traceback=("line 1",),
    stderr=("sad",),
)
OUT_OF_MEMORY = errors.WorkerFailure(cause="signal", at=0.0, signal="SIGKILL", out_of_memory=True)
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
        errors.NoWorkers("m", "1.0"),
        503,
        "ServiceUnavailableException",
        f'Model "m" Version 1.0" {NO_WORKER}',
    ),
    (errors.WorkerDied(FAILURE), 500, "InternalServerException", "Worker died."),
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
        errors.WorkersFailed("m", "1.0", FAILURE),
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
]

SPEC = VersionSpec(
    name="noop",
    version="1.0",
    url="noop.mar",
    folder=Path("/unpacked"),
    handler="noop:handle",
    batch_size=4,
    max_batch_delay=0.2,
    min_workers=1,
    max_workers=2,
    timeouts=Timeouts(startup=60.0, response=2.5, recovery=300.0),
    client_timeout=1.5,
)
WORKER = WorkerDescription("9000", "ready", started=1700000000.25, pid=77, memory=4096)


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

    def test_overload_status_replaces_the_code_of_a_full_queue_only(self) -> None:
        dialect = TorchServe(overload_status=429)
        self.assertEqual(dialect.failed(errors.QueueFull("m", None, 1)).code, 429)
        self.assertEqual(dialect.failed(errors.NoWorkers("m", None)).code, 503)

    def test_the_cause_is_told(self) -> None:
        body = json.loads(TorchServe().failed(errors.PredictionFailed(503, "x", "KeyError", "'k'")).body)
        self.assertEqual((body["exception"], body["text"]), ("KeyError", "'k'"))
        body = json.loads(TorchServe().failed(errors.WorkersFailed("m", "1", FAILURE)).body)
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

    def test_expose_errors_off_hides_the_cause(self) -> None:
        dialect = TorchServe(expose_errors=False)
        for error in (
            errors.PredictionFailed(503, "x", "KeyError", "'k'"),
            errors.WorkerDied(FAILURE),
            errors.WorkersFailed("m", "1", FAILURE),
            errors.DownloadFailed("u", "404 Not Found"),
        ):
            body = json.loads(dialect.failed(error).body)
            self.assertEqual(list(body), ["code", "type", "message"])


class StatusTests(SynchronousTestCase):
    """Calls that answer with a sentence."""

    def test_sentences(self) -> None:
        dialect = TorchServe()
        rows = [
            (
                dialect.registered("m", "1.0", 0, True),
                200,
                'Model "m" Version: 1.0 registered with 0 initial workers. '
                "Use scale workers API to add workers for the model.",
            ),
            (
                dialect.registered("m", "1.0", 0, False),
                200,
                'Model "m" Version: 1.0 registered with 0 initial workers. '
                "Use scale workers API to add workers for the model.",
            ),
            (dialect.registered("m", "1.0", 2, False), 202, "Processing worker updates..."),
            (
                dialect.registered("m", "1.0", 2, True),
                200,
                'Model "m" Version: 1.0 registered with 2 initial workers',
            ),
            (dialect.scaled("m", None, 2, False, True), 202, "Processing worker updates..."),
            (dialect.scaled("m", None, 2, True, True), 200, "Workers scaled to 2 for model: m"),
            (
                dialect.scaled("m", "1.0", 0, True, True),
                200,
                "Workers scaled to 0 for model: m, version: 1.0",
            ),
            (dialect.scaled("m", None, 2, True, False), 206, "Workers scaling in progress..."),
            (dialect.unregistered("m"), 200, 'Model "m" unregistered'),
            (
                dialect.default_set("m", "2.0"),
                200,
                'Default version successfully updated for model "m" to "2.0"',
            ),
            (dialect.pinged(2, 2, True), 200, "Healthy"),
            (dialect.pinged(2, 1, False), 500, "Unhealthy"),
            (dialect.status("x", 201), 201, "x"),
        ]
        for reply, code, text in rows:
            with self.subTest(text=text):
                self.assertEqual((reply.code, json.loads(reply.body)), (code, {"status": text}))

    def test_bodies_are_printed_as_the_peer_prints_them(self) -> None:
        self.assertEqual(TorchServe().status("a < b é").body, '{\n  "status": "a < b é"\n}\n'.encode())
        self.assertEqual(TorchServe().status("x").headers, ((b"content-type", b"application/json"),))


class DescribeTests(SynchronousTestCase):
    """What describe and list show."""

    def test_keys_and_their_order(self) -> None:
        reply = TorchServe().described([VersionDescription(SPEC, True, (WORKER,), waiting=3)])
        (model,) = json.loads(reply.body)
        expected = {
            "modelName": "noop",
            "modelVersion": "1.0",
            "modelUrl": "noop.mar",
            "runtime": "python",
            "minWorkers": 1,
            "maxWorkers": 2,
            "batchSize": 4,
            "maxBatchDelay": 200,
            "responseTimeout": 2.5,
            "startupTimeout": 60,
            "maxRetryTimeoutInSec": 300,
            "clientTimeoutInMills": 1500,
            "parallelType": "",
            "parallelLevel": 0,
            "deviceType": "cpu",
            "continuousBatching": False,
            "useJobTicket": False,
            "useVenv": False,
            "stateful": False,
            "sequenceMaxIdleMSec": 0,
            "sequenceTimeoutMSec": 0,
            "maxNumSequence": 0,
            "maxSequenceJobQueueSize": 0,
            "loadedAtStartup": False,
            "workers": [
                {
                    "id": "9000",
                    "startTime": "2023-11-14T22:13:20.250Z",
                    "status": "READY",
                    "memoryUsage": 4096,
                    "pid": 77,
                    "gpu": False,
                    "gpuUsage": "N/A",
                }
            ],
            "jobQueueStatus": {"remainingCapacity": 97, "pendingRequests": 3},
        }
        self.assertEqual(model, expected)
        self.assertEqual(list(model), list(expected))

    def test_optional_keys(self) -> None:
        spec = evolve(
            SPEC,
            engine="Torch",
            device_type="gpu",
            device_ids=(0, 2),
            stateful=True,
            sequences=Sequences(0.5, 2.0, 7, 9),
        )
        template = WorkerDescription("t", "ready", 0.0, pid=5, memory=1)
        description = VersionDescription(spec, True, (), metadata={"a": 1}, template=template)
        (model,) = json.loads(TorchServe().described([description]).body)
        self.assertEqual(model["engine"], "Torch")
        self.assertEqual(model["deviceIds"], [0, 2])
        self.assertEqual([model[key] for key in ("sequenceMaxIdleMSec", "sequenceTimeoutMSec")], [500, 2000])
        self.assertEqual([model[key] for key in ("maxNumSequence", "maxSequenceJobQueueSize")], [9, 7])
        self.assertEqual(model["customizedMetadata"], {"a": 1})
        self.assertEqual(model["template"], {"pid": 5, "status": "READY", "memoryUsage": 1})

    def test_words_for_a_workers_state(self) -> None:
        rows = [
            ("ready", "READY"),
            ("busy", "READY"),
            ("starting", "LOADING"),
            ("waiting", "LOADING"),
            ("draining", "UNLOADING"),
            ("stopping", "UNLOADING"),
            ("dying", "UNLOADING"),
            ("failed", "UNLOADING"),
        ]
        for state, word in rows:
            with self.subTest(state=state):
                self.assertEqual(self.worker(evolve(WORKER, state=state))["status"], word)

    def test_gpu_and_pid(self) -> None:
        usage = "gpuId::0 utilization.gpu::1 % utilization.memory::2 % memory.used::3 MiB"
        worker = self.worker(evolve(WORKER, gpu_id=0, gpu_usage=usage, pid=None))
        self.assertEqual((worker["gpu"], worker["gpuUsage"], worker["pid"]), (True, usage, -1))
        worker = self.worker(evolve(WORKER, gpu_id=0))
        self.assertEqual(worker["gpuUsage"], "failed to obtained gpu usage")

    def test_a_worker_that_failed_tells_why(self) -> None:
        worker = self.worker(evolve(WORKER, restarts=2, failure=OUT_OF_MEMORY))
        self.assertEqual(worker["restarts"], 2)
        self.assertEqual(
            worker["lastFailure"],
            {
                "type": "signal",
                "text": "ended by SIGKILL, out of memory",
                "signal": "SIGKILL",
                "outOfMemory": True,
                "stderr": [],
                "at": "1970-01-01T00:00:00.000Z",
            },
        )

    def worker(self, worker: WorkerDescription) -> dict[str, object]:
        (model,) = json.loads(TorchServe().described([VersionDescription(SPEC, True, (worker,))]).body)
        (shown,) = model["workers"]
        assert isinstance(shown, dict)
        return shown

    def test_list(self) -> None:
        reply = TorchServe().listed([ModelSummary("a", "a.mar"), ModelSummary("b", "b.mar")], "2")
        self.assertEqual(list(json.loads(reply.body)), ["nextPageToken", "models"])
        self.assertEqual(
            json.loads(reply.body),
            {
                "nextPageToken": "2",
                "models": [
                    {"modelName": "a", "modelUrl": "a.mar"},
                    {"modelName": "b", "modelUrl": "b.mar"},
                ],
            },
        )
        self.assertEqual(TorchServe().listed([], None).body, b'{\n  "models": []\n}\n')
