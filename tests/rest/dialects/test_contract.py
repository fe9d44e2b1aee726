"""What every dialect must do: each answer is JSON of the shape that its OpenAPI document promises."""

from __future__ import annotations

import json
from pathlib import Path
from unittest import TestCase

from attrs import evolve
from openapi_schema_validator import OAS30Validator

from modelserver import errors
from modelserver.devices import HOST
from modelserver.interfaces import Dialect, Reply
from modelserver.rest.dialects.mms import REFUSALS as REFUSALS_OF_MMS
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import REFUSALS as REFUSALS_OF_TORCHSERVE
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.openapi_schemas import SCHEMAS
from modelserver.spec import (
    MemoryFigures,
    ModelSummary,
    Presence,
    VersionDescription,
    VersionSpec,
    WorkerDescription,
    WorkerFailure,
    WorkerState,
)
from modelserver.version_settings.values import DeviceSettings
from tests.harness.server_errors import of_the_server

FAILURE = WorkerFailure(
    cause="signal",
    at=1.5,
    exit_code=1,
    signal="SIGSEGV",
    exception="ValueError",
    text="\udc80 <b>",
    traceback=("a",),
    stderr=("b",),
    out_of_memory=True,
)
SPEC = VersionSpec(
    "noop", "1.0", "noop.mar", Path("/x"), "h", engine="Torch", devices=DeviceSettings(ids=(0,))
)
WORKER = WorkerDescription("9000", WorkerState.FAILED, 1.25, None, 3, 0, None, 2, FAILURE)
ERRORS = [
    errors.ModelNotFound("m"),
    errors.QueueFull("m", None, 1),
    errors.NoWorkers("m", "1", "why"),
    errors.WorkerDied(FAILURE),
    errors.WorkersFailed("m", "1", FAILURE),
    errors.PredictionFailed(503, "x", "E", "t"),
    errors.DownloadFailed("u", "why"),
]


class DialectContract(TestCase):
    """What every dialect does."""

    __test__ = False
    dialect: Dialect

    def check(self, reply: Reply, schema: str) -> None:
        """Fail unless a reply's body is of a schema."""
        self.assertEqual(dict(reply.headers)[b"content-type"], b"application/json")
        self.assertTrue(reply.body.endswith(b"\n"))
        shape = {"components": {"schemas": SCHEMAS[self.dialect.name]}, **SCHEMAS[self.dialect.name][schema]}
        OAS30Validator(shape).validate(json.loads(reply.body))

    def test_errors(self) -> None:
        for error in ERRORS:
            reply = self.dialect.failed(error)
            self.check(reply, "Error")
            self.assertEqual(json.loads(reply.body)["code"], reply.code)
            self.assertGreaterEqual(reply.code, 400)

    def test_statuses(self) -> None:
        for reply in (
            self.dialect.status("x"),
            *(self.dialect.registered("m", "1", count, wait) for count in (0, 1) for wait in (True, False)),
            *(
                self.dialect.scaled("m", None, 1, wait, done)
                for wait in (True, False)
                for done in (True, False)
            ),
            self.dialect.unregistered("m"),
            self.dialect.default_set("m", "1"),
            self.dialect.pinged(2, 1, False),
            self.dialect.pinged(0, 0, True),
        ):
            self.check(reply, "Status")

    def test_descriptions(self) -> None:
        for description in (
            VersionDescription(SPEC, True, ()),
            VersionDescription(SPEC, True, (WORKER,), 3, {"a": [1]}, evolve(WORKER, id="t", pid=1)),
        ):
            self.check(self.dialect.described([description]), "Description")

    def test_lists(self) -> None:
        self.check(self.dialect.listed([], None), "ModelList")
        self.check(self.dialect.listed([ModelSummary("a", "b")], "1"), "ModelList")
        listed = self.dialect.listed([ModelSummary("a", "b", Presence.KNOWN)], None)
        self.check(listed, "ModelList")
        self.assertEqual(json.loads(listed.body)["models"][0]["loadState"], "known")

    def test_where_a_model_is_and_what_it_takes(self) -> None:
        figures = MemoryFigures(1000, 300, 200, is_seen=False)
        described = VersionDescription(
            SPEC, True, (), presence=Presence.UNLOADED, memory={HOST: figures, 1: figures}
        )
        reply = self.dialect.described([described])
        self.check(reply, "Description")
        body = json.loads(reply.body)
        model = body[0] if isinstance(body, list) else body
        self.assertEqual(model["loadState"], "unloaded")
        self.assertEqual(
            model["memory"],
            {"expected": 200, "expectedFrom": "archive size", "reserved": 300, "limit": 1000},
        )
        self.assertEqual(model["memoryByGpu"], [{"gpu": 1, **model["memory"]}])


class TorchServeTests(DialectContract):
    """TorchServe's dialect."""

    __test__ = True
    dialect = TorchServe()


class MultiModelServerTests(DialectContract):
    """Multi Model Server's dialect."""

    __test__ = True
    dialect = MultiModelServer()


class TableTests(TestCase):
    """Both tables know every error."""

    def test_every_error_has_a_row(self) -> None:
        for table in (REFUSALS_OF_MMS, REFUSALS_OF_TORCHSERVE):
            self.assertEqual(set(of_the_server()) - set(table), set())
