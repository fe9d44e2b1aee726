"""TorchServe's ManagementAPIsService: what REST says, word for word."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred

from modelserver.jobs import Answer
from modelserver.management.parameters import REGISTER
from modelserver.rpc.codes import Code
from modelserver.spec import WorkerFailure
from tests.harness.management import LOAD_FAILURE
from tests.harness.rpc_messages import type_of
from tests.harness.rpc_services import RpcCase

MODEL = "org.pytorch.serve.archive.model"
HTTP = "org.pytorch.serve.http"
NO_WORKERS = (
    'Model "noop" Version: 1.0 registered with 0 initial workers. '
    "Use scale workers API to add workers for the model."
)


class ManagementServiceCase(RpcCase):
    """Calls of the six methods."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("noop.mar", "noop")

    def ask(self, method: str, **fields: Any) -> Any:
        """Make a call, and let workers load."""
        call = self.call(method, type_of(f"management.{method}Request")(**fields))
        if call.status is None:
            self.on.load_all()
        return call

    def msg(self, method: str, **fields: Any) -> str:
        """Return what a call that is OK says."""
        found: str = self.answer(self.ask(method, **fields), "management.ManagementResponse").msg
        return found

    def refusal(self, method: str, **fields: Any) -> tuple[str, list[str]]:
        """Return code and lines of a call that is not."""
        return self.told(self.ask(method, **fields))

    def register(self, **fields: Any) -> str:
        """Register the model."""
        return self.msg("RegisterModel", url="noop.mar", **fields)


class RegisterTests(ManagementServiceCase):
    """RegisterModel and UnregisterModel."""

    def test_texts(self) -> None:
        self.assertEqual(self.register(), NO_WORKERS)
        self.assertEqual(
            self.register(model_name="m", initial_workers=1, synchronous=True),
            'Model "m" Version: 1.0 registered with 1 initial workers',
        )
        call = self.call(
            "RegisterModel",
            type_of("management.RegisterModelRequest")(url="noop.mar", model_name="n", initial_workers=1),
        )
        self.assertEqual(
            self.answer(call, "management.ManagementResponse").msg, "Processing worker updates..."
        )

    def test_settings(self) -> None:
        self.register(
            batch_size=4, max_batch_delay=50, response_timeout=7, startup_timeout=8, initial_workers=2
        )
        spec = self.on.registry.get("noop").spec
        self.assertEqual((spec.batching.size, spec.batching.max_delay), (4, 0.05))
        self.assertEqual((spec.timeouts.response, spec.timeouts.startup), (7.0, 8.0))
        self.assertEqual(spec.workers.minimum, 2)

    def test_every_field_is_a_parameter_of_rest(self) -> None:
        names = {field.name for field in type_of("management.RegisterModelRequest").DESCRIPTOR.fields}
        self.assertLessEqual(names, {parameter.name for parameter in REGISTER})

    def test_numbers_below_one_are_the_defaults(self) -> None:
        for number in (0, -5):
            with self.subTest(number):
                self.register(
                    model_name=f"m{-number}",
                    batch_size=number,
                    max_batch_delay=number,
                    response_timeout=number,
                    startup_timeout=number,
                    initial_workers=number,
                )
                spec = self.on.registry.get(f"m{-number}").spec
                self.assertEqual((spec.batching.size, spec.batching.max_delay), (1, 0.1))
                self.assertEqual((spec.timeouts.response, spec.workers.minimum), (120.0, 0))

    def test_refusals(self) -> None:
        self.register()
        for fields, code, text, second in (
            ({}, "INVALID_ARGUMENT", "Parameter url is required.", f"{HTTP}.BadRequestException"),
            (
                {"url": "zz.mar"},
                "NOT_FOUND",
                "Model not found at: zz.mar",
                f"{MODEL}.ModelNotFoundException",
            ),
            (
                {"url": "../noop.mar"},
                "NOT_FOUND",
                "Relative path is not allowed in url: ../noop.mar",
                f"{MODEL}.ModelNotFoundException",
            ),
            (
                {"url": "http://h/zz.mar"},
                "INVALID_ARGUMENT",
                "Failed to download archive from: http://h/zz.mar",
                "org.pytorch.serve.archive.DownloadArchiveException",
            ),
            (
                {"url": "noop.mar"},
                "ALREADY_EXISTS",
                "Model version 1.0 is already registered for model noop",
                f"{HTTP}.ConflictStatusException",
            ),
        ):
            with self.subTest(fields):
                self.assertEqual(self.refusal("RegisterModel", **fields), (code, [text, second]))
        odd: tuple[dict[str, Any], ...] = (
            {"runtime": "LUA"},
            {"model_name": "a/b"},
            {"initial_workers": 5000},
        )
        for fields in odd:
            self.assertEqual(self.refusal("RegisterModel", url="noop.mar", **fields)[0], "INVALID_ARGUMENT")

    def test_workers_that_cannot_start(self) -> None:
        call = self.call(
            "RegisterModel",
            type_of("management.RegisterModelRequest")(url="noop.mar", initial_workers=1, synchronous=True),
        )
        self.worker.exit(LOAD_FAILURE)
        self.stage.turn()
        self.assertEqual(
            self.told(call),
            (
                "INTERNAL",
                [
                    "Failed to start workers for model noop version: 1.0",
                    f"{HTTP}.InternalServerException",
                ],
            ),
        )

    def test_work_goes_on_when_the_client_leaves(self) -> None:
        call = self.call(
            "RegisterModel",
            type_of("management.RegisterModelRequest")(url="noop.mar", initial_workers=1, synchronous=True),
        )
        call.cancel()
        self.on.load_all()
        self.assertTrue(self.on.registry.has("noop"))
        self.assertEqual(call.messages, [])

    def test_unregister(self) -> None:
        self.register()
        self.assertEqual(self.msg("UnregisterModel", model_name="noop"), 'Model "noop" unregistered')
        self.assertEqual(
            self.refusal("UnregisterModel", model_name="noop"),
            ("NOT_FOUND", ["Model not found: noop", f"{MODEL}.ModelNotFoundException"]),
        )
        self.assertEqual(
            self.refusal("UnregisterModel"),
            ("INVALID_ARGUMENT", ["Parameter url is required.", f"{HTTP}.BadRequestException"]),
        )

    def test_default_version_stays_while_there_are_others(self) -> None:
        self.on.add_model("noop2.mar", "noop", "2.0")
        self.register()
        self.msg("RegisterModel", url="noop2.mar")
        self.assertEqual(
            self.refusal("UnregisterModel", model_name="noop"),
            (
                "FAILED_PRECONDITION",
                ["Cannot remove default version for model noop", f"{HTTP}.InvalidModelVersionException"],
            ),
        )
        self.msg("UnregisterModel", model_name="noop", model_version="2.0")


class ScaleTests(ManagementServiceCase):
    """ScaleWorker."""

    def scaled(self, **fields: Any) -> tuple[int, int]:
        """Scale, and return the least and the most workers."""
        self.msg("ScaleWorker", model_name="noop", **fields)
        pool = self.on.registry.get("noop").pool
        return pool.minimum, pool.maximum

    def test_texts(self) -> None:
        self.register()
        self.assertEqual(
            self.msg("ScaleWorker", model_name="noop", min_worker=2), "Processing worker updates..."
        )
        self.assertEqual(
            self.msg("ScaleWorker", model_name="noop", min_worker=1, synchronous=True),
            "Workers scaled to 1 for model: noop",
        )
        self.assertEqual(
            self.msg("ScaleWorker", model_name="noop", model_version="1.0", synchronous=True),
            "Workers scaled to 1 for model: noop, version: 1.0",
        )

    def test_numbers(self) -> None:
        self.register()
        for fields, wanted in (
            ({}, (1, 1)),
            ({"min_worker": 3}, (3, 3)),
            ({"max_worker": 3}, (1, 3)),
            ({"min_worker": 2, "max_worker": 3}, (2, 3)),
            ({"min_worker": -1}, (1, 1)),
            ({"min_worker": 0}, (0, 0)),
            ({"min_worker": 0, "max_worker": 2}, (0, 2)),
        ):
            with self.subTest(fields):
                self.assertEqual(self.scaled(**fields), wanted)

    def test_zero_of_a_client_that_cannot_say_it_is_nothing(self) -> None:
        self.register()
        # What stubs of TorchServe's own file write for min_worker=0: the name alone.
        call = self.call("ScaleWorker", b"\x0a\x04noop")
        self.assertEqual(self.told(call)[0], "OK")
        self.assertEqual(self.on.registry.get("noop").pool.minimum, 1)

    def test_refusals(self) -> None:
        self.register()
        for fields, code, text in (
            (
                {"min_worker": 3, "max_worker": 1},
                "INVALID_ARGUMENT",
                "max_worker cannot be less than min_worker.",
            ),
            ({"model_name": ""}, "INVALID_ARGUMENT", "Parameter model_name is required."),
            ({"model_name": "zz"}, "NOT_FOUND", "Model not found: zz"),
            (
                {"model_version": "9.9"},
                "NOT_FOUND",
                "Model version: 9.9 does not exist for model: noop",
            ),
        ):
            with self.subTest(fields):
                found, lines = self.refusal("ScaleWorker", **{"model_name": "noop", **fields})
                self.assertEqual((found, lines[0]), (code, text))


class QuestionTests(ManagementServiceCase):
    """DescribeModel, ListModels and SetDefault."""

    def test_describe_is_rests_json(self) -> None:
        self.register(initial_workers=1, synchronous=True)
        text = self.msg("DescribeModel", model_name="noop")
        self.assertFalse(text.endswith("\n"))
        (described,) = json.loads(text)
        self.assertEqual(described["modelName"], "noop")
        self.assertEqual(described["workers"][0]["status"], "READY")

    def test_all_versions(self) -> None:
        self.on.add_model("noop2.mar", "noop", "2.0")
        self.register()
        self.msg("RegisterModel", url="noop2.mar")
        for customized in (False, True):
            found = json.loads(
                self.msg("DescribeModel", model_name="noop", model_version="all", customized=customized)
            )
            self.assertEqual([each["modelVersion"] for each in found], ["1.0", "2.0"])
        (found,) = json.loads(self.msg("DescribeModel", model_name="noop", model_version="2.0"))
        self.assertEqual(found["modelVersion"], "2.0")

    def test_customized(self) -> None:
        self.register(initial_workers=1, synchronous=True)
        call = self.ask("DescribeModel", model_name="noop", customized=True)
        self.worker.answer(Answer(200, b"", b'{"a": 1}'))
        self.stage.turn()
        (found,) = json.loads(self.answer(call, "management.ManagementResponse").msg)
        self.assertEqual(found["customizedMetadata"], {"a": 1})

    def test_customized_refusals_are_those_of_predictions(self) -> None:
        self.register()
        for fields, text, second in (
            ({"model_name": "zz"}, "Model not found: zz", f"{MODEL}.ModelNotFoundException"),
            (
                {"model_name": "noop", "model_version": "9.9"},
                "Model version: 9.9 does not exist for model: noop",
                f"{MODEL}.ModelVersionNotFoundException",
            ),
            (
                {"model_name": "noop"},
                'Model "noop" has no worker to serve describe request. '
                "Please use scale workers API to add workers.",
                "InternalServerException.()",
            ),
        ):
            with self.subTest(fields):
                found = self.refusal("DescribeModel", customized=True, **fields)
                self.assertEqual(found, ("INTERNAL", [text, second]))
        self.assertEqual(self.refusal("DescribeModel", model_name="zz")[0], "NOT_FOUND")
        self.assertEqual(self.refusal("DescribeModel", model_name="zz", model_version="all")[0], "NOT_FOUND")

    def test_list(self) -> None:
        for number in range(3):
            self.register(model_name=f"m{number}")
        for limit, token, names, following in (
            (0, 0, ["m0", "m1", "m2"], None),
            (2, 0, ["m0", "m1"], "2"),
            (2, 2, ["m2"], None),
            (-1, 0, ["m0", "m1", "m2"], None),
            (1000, 0, ["m0", "m1", "m2"], None),
            (2, -5, ["m0", "m1"], "2"),
            (2, 9, [], None),
        ):
            with self.subTest(limit=limit, token=token):
                found = json.loads(self.msg("ListModels", limit=limit, next_page_token=token))
                self.assertEqual([each["modelName"] for each in found["models"]], names)
                self.assertEqual(found.get("nextPageToken"), following)

    def test_set_default(self) -> None:
        self.on.add_model("noop2.mar", "noop", "2.0")
        self.register()
        self.msg("RegisterModel", url="noop2.mar")
        self.assertEqual(
            self.msg("SetDefault", model_name="noop", model_version="2.0"),
            'Default version successfully updated for model "noop" to "2.0"',
        )
        for fields, text in (
            (
                {"model_name": "noop", "model_version": "9.9"},
                "Model version 9.9 does not exist for model noop",
            ),
            ({"model_name": "zz", "model_version": "1"}, "Model not found: zz"),
            ({}, "Model not found: "),
        ):
            code, lines = self.refusal("SetDefault", **fields)
            self.assertEqual((code, lines[0]), ("NOT_FOUND", text))

    def test_bytes_that_are_no_message(self) -> None:
        for method in ("DescribeModel", "ListModels", "RegisterModel"):
            call = self.call(method, b"\x0a\x05x")
            self.assertEqual(self.told(call)[0], "INVALID_ARGUMENT")

    def test_defect_is_told_apart(self) -> None:
        def broken() -> Deferred[None]:
            raise RuntimeError("a defect")

        self.register()
        self.on.management.changed = broken
        call = self.ask("SetDefault", model_name="noop", model_version="1.0")
        assert call.status is not None
        self.assertEqual(call.status.code, Code.INTERNAL)
        self.assertNotIn("a defect", call.status.message)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_worker_that_dies_while_it_describes_itself(self) -> None:
        self.register(initial_workers=1, synchronous=True)
        call = self.ask("DescribeModel", model_name="noop", customized=True)
        self.worker.exit(WorkerFailure("exit", 0.0, exit_code=1))
        self.clock.advance(200)
        self.assertEqual(self.told(call)[0], "INTERNAL")
