"""Multi Model Server's words: section 13 of the differences, and what it shares with TorchServe."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver import errors
from modelserver.core.shortage import MemoryShort
from modelserver.rest.dialects.mms import REFUSALS as REFUSALS_OF_MMS
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.spec import (
    ModelSummary,
    VersionDescription,
    VersionSpec,
    WorkerDescription,
    WorkerFailure,
    WorkerState,
)
from modelserver.version_settings.values import WorkerRange
from tests.harness.server_errors import of_the_server

FAILURE = WorkerFailure(cause="exit", at=0.0, exit_code=3)

# error, code, type, message
REFUSALS = [
    (errors.ModelNotFound("m"), 404, "ModelNotFoundException", "Model not found: m"),
    (
        errors.RouteNotFound(),
        404,
        "ResourceNotFoundException",
        "Requested resource is not found, please refer to API document.",
    ),
    (
        errors.MethodNotAllowed(),
        405,
        "MethodNotAllowedException",
        "Requested method is not allowed, please refer to API document.",
    ),
    (errors.ParameterMissing("url"), 400, "BadRequestException", "Parameter url is required."),
    (
        errors.ArchiveNotFound("u.mar"),
        404,
        "ModelNotFoundException",
        "Model not found in model store: u.mar",
    ),
    (
        errors.UrlInvalid("x://"),
        404,
        "ModelNotFoundException",
        "Invalid model url: x://",
    ),
    (
        errors.DownloadFailed("http://x/y", "refused"),
        400,
        "DownloadModelException",
        "Failed to download model from: http://x/y",
    ),
    (
        errors.DownloadFailed("http://x/y", "code: 500", status=500),
        400,
        "DownloadModelException",
        "Failed to download model from: http://x/y, code: 500",
    ),
    (
        errors.DownloadFailed("http://x/y", "timeout", timed_out=True),
        400,
        "DownloadModelException",
        "Download model timeout: http://x/y",
    ),
    (
        errors.VersionExists("m", "1.0"),
        409,
        "ConflictStatusException",
        "Model m is already registered.",
    ),
    (
        errors.QueueFull("m", None, 100),
        503,
        "ServiceUnavailableException",
        "No worker is available to serve request for model: m. Consider increasing job queue size.",
    ),
    (
        MemoryShort("m", "1.0", 300, 800, 1000, is_seen=True),
        507,
        "OutOfMemoryError",
        "Model 'm' version 1.0 needs 300 bytes (as measured); 800 of the 1000 bytes of "
        "model_memory_limit are reserved, and no idle model can leave.",
    ),
    (
        errors.NoWorkers("m", None),
        503,
        "ServiceUnavailableException",
        "No worker is available to serve request for model: m. Consider increasing job queue size.",
    ),
    (errors.WorkerDied(FAILURE), 500, "InternalServerException", "Worker died."),
    (
        errors.WorkersFailed("m", "1.0", FAILURE),
        500,
        "InternalServerException",
        "Failed to start workers",
    ),
    (
        errors.PredictionFailed(503, "Prediction failed"),
        503,
        "InternalServerException",
        "Prediction failed",
    ),
    (errors.PredictionFailed(413, "mine"), 413, "InternalServerException", "mine"),
    (
        errors.DrainTimedOut("m"),
        408,
        "RequestTimeoutException",
        "Timed out while cleaning resources: m",
    ),
]


class RefusalTests(SynchronousTestCase):
    """Each error has its code, type and sentence."""

    def test_code_type_and_message(self) -> None:
        for error, code, kind, message in REFUSALS:
            with self.subTest(error=error):
                reply = MultiModelServer().failed(error)
                body = json.loads(reply.body)
                self.assertEqual(
                    (reply.code, body["code"], body["type"], body["message"]), (code, code, kind, message)
                )

    def test_codes_that_the_peer_has_not_are_not_used(self) -> None:
        for kind in of_the_server():
            self.assertIn(kind, REFUSALS_OF_MMS)
        # MMS refuses no web page, and so has no status for it.
        forbidden = [kind for kind, refusal in REFUSALS_OF_MMS.items() if refusal.code == 403]
        self.assertEqual(forbidden, [errors.PageRefused])


class StatusTests(SynchronousTestCase):
    """Calls that answer with a sentence."""

    def test_sentences(self) -> None:
        dialect = MultiModelServer()
        rows = [
            (dialect.registered("m", "1.0", 0, True), 200, 'Model "m" registered'),
            (dialect.registered("m", "1.0", 0, False), 200, 'Model "m" registered'),
            (dialect.registered("m", "1.0", 1, False), 202, "Processing worker updates..."),
            (dialect.registered("m", "1.0", 1, True), 200, "Workers scaled"),
            (dialect.scaled("m", None, 1, False, True), 202, "Processing worker updates..."),
            (dialect.scaled("m", None, 1, True, True), 200, "Workers scaled"),
            (dialect.scaled("m", None, 1, True, False), 210, "Workers scaling in progress..."),
            (dialect.unregistered("m"), 200, 'Model "m" unregistered'),
            (dialect.pinged(0, 0, True), 200, "Healthy"),
            (dialect.pinged(2, 2, True), 200, "Healthy"),
            (dialect.pinged(2, 1, False), 200, "Partial Healthy"),
            (dialect.pinged(2, 0, False), 200, "Unhealthy"),
        ]
        for reply, code, text in rows:
            with self.subTest(text=text):
                self.assertEqual((reply.code, json.loads(reply.body)), (code, {"status": text}))

    def test_210_has_its_phrase(self) -> None:
        self.assertEqual(MultiModelServer().scaled("m", None, 1, True, False).phrase, b"Partial Success")

    def test_html_is_escaped_as_the_peer_does(self) -> None:
        reply = MultiModelServer().failed(errors.DownloadFailed("http://x/y?a=b&c='<d>'"))
        self.assertIn(b"y?a\\u003db\\u0026c\\u003d\\u0027\\u003cd\\u003e\\u0027", reply.body)
        self.assertEqual(
            json.loads(reply.body)["message"], "Failed to download model from: http://x/y?a=b&c='<d>'"
        )


class DescribeTests(SynchronousTestCase):
    """What describe and list show."""

    def test_describe_is_an_object(self) -> None:
        spec = VersionSpec(
            name="noop",
            version="snapshot",
            url="noop.mar",
            folder=Path("/unpacked"),
            handler="noop:handle",
            engine="MXNet",
            workers=WorkerRange(1, 1),
        )
        worker = WorkerDescription(
            "9000", WorkerState.READY, 0.0, pid=1, memory=2, restarts=1, failure=FAILURE, threads=3
        )
        body = json.loads(MultiModelServer().described([VersionDescription(spec, True, (worker,))]).body)
        expected = {
            "modelName": "noop",
            "modelVersion": "snapshot",
            "modelUrl": "noop.mar",
            "engine": "MXNet",
            "runtime": "python",
            "minWorkers": 1,
            "maxWorkers": 1,
            "batchSize": 1,
            "maxBatchDelay": 100,
            "loadedAtStartup": False,
            "workers": [
                {
                    "id": "9000",
                    "startTime": "1970-01-01T00:00:00.000Z",
                    "status": "READY",
                    "gpu": False,
                    "memoryUsage": 2,
                    "threads": 3,
                    "restarts": 1,
                    "lastFailure": {
                        "type": "exit",
                        "text": "exited with code 3",
                        "exitCode": 3,
                        "stderr": [],
                        "at": "1970-01-01T00:00:00.000Z",
                    },
                }
            ],
        }
        self.assertEqual(body, expected)
        self.assertEqual(list(body), list(expected))

    def test_list(self) -> None:
        self.assertEqual(
            json.loads(MultiModelServer().listed([ModelSummary("a", "a.mar")], "1").body),
            {"nextPageToken": "1", "models": [{"modelName": "a", "modelUrl": "a.mar"}]},
        )
