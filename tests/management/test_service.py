"""The use cases: each happens as a whole, or not at all."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from modelserver.errors import (
    DefaultVersionInUse,
    DescribeUnavailable,
    DrainTimedOut,
    InternalError,
    ModelNotFound,
    PredictionFailed,
    Unregistered,
    VersionExists,
    VersionNotFound,
    WorkersFailed,
)
from modelserver.jobs import Answer
from modelserver.protocol.frames import DESCRIBE
from modelserver.spec import WorkerDescription, WorkerFailure, WorkerState
from modelserver.testing.providers import CollectingObserver, make_job
from tests.harness.management import LOAD_FAILURE
from tests.harness.management_case import ManagementCase


class Unheard:
    """Takes the place of a worker whose end is never seen."""

    def exited(self, failure: WorkerFailure) -> None:
        """Nobody is told."""


class ScaleTests(ManagementCase):
    """Workers come and go."""

    def test_up_and_down_with_waiting(self) -> None:
        self.register(workers=1)
        scaled = self.scale(minimum=3, maximum=3, synchronous=True)
        self.assertNoResult(scaled)
        self.on.load_all()
        self.assertTrue(self.successResultOf(scaled))
        self.assertEqual(len(self.workers), 3)
        self.assertTrue(self.successResultOf(self.scale(minimum=1, maximum=1, synchronous=True)))
        self.assertEqual(len(self.workers), 1)

    def test_without_waiting(self) -> None:
        self.register()
        self.assertTrue(self.successResultOf(self.scale(minimum=2, maximum=2)))
        self.assertEqual(len(self.workers), 2)

    def test_what_nobody_knows(self) -> None:
        self.register()
        self.failureResultOf(self.scale("other"), ModelNotFound)
        self.failureResultOf(self.scale(version="9"), VersionNotFound)

    def test_workers_that_fail_are_told_as_the_caller_asked(self) -> None:
        self.register()
        scaled = self.scale(minimum=1, maximum=1, synchronous=True)
        self.workers[0].exit(LOAD_FAILURE)
        error = self.failureResultOf(scaled, WorkersFailed).value
        self.assertEqual((error.model, error.version, error.failure), ("noop", None, LOAD_FAILURE))

    def test_some_of_the_workers_are_a_part(self) -> None:
        self.register(workers=1)
        scaled = self.scale(minimum=2, maximum=2, synchronous=True)
        self.workers[1].exit(LOAD_FAILURE)
        self.assertFalse(self.successResultOf(scaled))

    def test_minimum_0_with_a_maximum_keeps_who_is_there(self) -> None:
        self.register(workers=2)
        self.successResultOf(self.scale(minimum=0, maximum=2, synchronous=True))
        self.assertEqual(len(self.workers), 2)
        self.assertEqual(len(self.on.registry.get("noop").pool.workers), 2)


class UnregisterTests(ManagementCase):
    """A version goes with everything that belongs to it."""

    def test_workers_and_files_go(self) -> None:
        self.register(workers=2)
        self.successResultOf(self.unregister())
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk(), self.workers), ([], [], []))
        self.assertEqual(self.on.stage.backend.retired, [("noop", "1.0")])
        self.assertTrue((self.on.store / "noop.mar").exists())

    def test_what_nobody_knows(self) -> None:
        self.failureResultOf(self.unregister(), ModelNotFound)
        self.register()
        self.failureResultOf(self.unregister(version="2"), VersionNotFound)

    def test_the_default_of_several_stays(self) -> None:
        self.on.add_model("second", "noop", "2.0")
        self.register()
        self.register("second")
        self.failureResultOf(self.unregister(), DefaultVersionInUse)
        self.failureResultOf(self.unregister(version="1.0"), DefaultVersionInUse)
        self.successResultOf(self.unregister(version="2.0"))
        self.successResultOf(self.unregister(version="1.0"))
        self.assertEqual(self.on.registry.names(), [])

    def test_a_request_in_hand_is_finished_and_a_waiting_one_answered(self) -> None:
        self.register(workers=1)
        in_hand, waiting = CollectingObserver(), CollectingObserver()
        pool = self.on.registry.get("noop").pool
        pool.put(make_job(b"a", observer=in_hand))
        self.on.stage.turn()
        pool.put(make_job(b"b", observer=waiting))
        gone = self.unregister()
        self.assertIsInstance(waiting.errors[0], Unregistered)
        self.assertNoResult(gone)
        self.workers[0].answer()
        self.successResultOf(gone)
        self.assertEqual(in_hand.bodies, [b"a"])

    def test_its_name_is_taken_until_it_has_gone(self) -> None:
        self.register(workers=1)
        self.on.registry.get("noop").pool.put(make_job(b"a"))
        self.on.stage.turn()
        gone = self.unregister()
        self.failureResultOf(self.start(), VersionExists)
        self.workers[0].answer()
        self.successResultOf(gone)
        self.register()

    def test_a_worker_that_does_not_end(self) -> None:
        self.register(workers=1)
        self.workers[0].events = Unheard()
        gone = self.unregister()
        self.on.stage.clock.advance(16 + 2 * 5)
        self.failureResultOf(gone, DrainTimedOut)
        (version,) = self.on.registry.versions("noop")
        self.assertEqual((version.pool.workers, version.pool.minimum), ([], 0))
        self.successResultOf(self.unregister())
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk()), ([], []))

    def test_the_end_of_the_server_may_keep_what_was_downloaded(self) -> None:
        for name, keeps in (("kept", True), ("gone", False)):
            self.on.add_model(f"{name}.mar", name)
            source = self.on.folder / name
            (self.on.store / f"{name}.mar").rename(source)
            self.on.downloads.files[f"https://example.org/{name}.mar"] = source
            self.register(f"https://example.org/{name}.mar")
            closing = self.on.management.close(keeps_downloads=keeps)
            self.successResultOf(Deferred.fromCoroutine(closing))
            self.assertEqual((self.on.store / f"{name}.mar").exists(), keeps)

    def test_the_end_of_the_server_takes_everything(self) -> None:
        self.on.add_model("second", "noop", "2.0")
        self.register(workers=1)
        self.register("second", workers=1)
        self.successResultOf(Deferred.fromCoroutine(self.on.management.close()))
        self.assertEqual((self.on.registry.names(), self.on.left_on_disk(), self.workers), ([], [], []))


class QuestionTests(ManagementCase):
    """What is told of models."""

    def describe(self, *args: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(self.on.management.describe(*args)))

    def test_describe_tells_what_is_now(self) -> None:
        self.on = self.make(gpus=1)
        self.on.add_model("noop.mar", "noop")
        self.register(workers=1)
        self.successResultOf(self.scale(minimum=1, maximum=4))
        described = self.describe("noop")
        self.assertEqual((described.spec.workers.minimum, described.spec.workers.maximum), (1, 4))
        (worker,) = described.workers
        self.assertEqual(worker.memory, worker.pid * 1000)
        self.assertEqual(
            worker.gpu_usage,
            "gpuId::0 utilization.gpu::10 % utilization.memory::20 % memory.used::1024 MiB",
        )

    def test_describe_tells_of_the_template(self) -> None:
        self.register()
        self.assertIsNone(self.describe("noop").template)
        template = WorkerDescription("template", WorkerState.READY, 5.0, 77)
        self.on.stage.backend.templates["noop", "1.0"] = template
        self.assertEqual(
            self.describe("noop").template, evolve(template, memory=77000, private=46200, shared=30800)
        )

    def test_describe_by_version(self) -> None:
        self.on.add_model("second", "noop", "2.0")
        self.register()
        self.register("second")
        self.assertEqual(self.describe("noop", "2.0").spec.version, "2.0")
        self.assertTrue(self.describe("noop").is_default)
        both = self.successResultOf(Deferred.fromCoroutine(self.on.management.describe_all("noop")))
        self.assertEqual([found.spec.version for found in both], ["1.0", "2.0"])

    def test_set_default(self) -> None:
        self.on.add_model("second", "noop", "2.0")
        self.register()
        self.register("second")
        self.successResultOf(Deferred.fromCoroutine(self.on.management.set_default("noop", "2.0")))
        self.assertEqual(self.describe("noop").spec.version, "2.0")

    def test_pages(self) -> None:
        for name in "cab":
            self.on.add_model(name)
            self.register(name)
        # limit, offset, names, token
        rows = [
            (100, 0, ["a", "b", "c"], None),
            (2, 0, ["a", "b"], "2"),
            (2, 2, ["c"], None),
            (3, 0, ["a", "b", "c"], None),
            (0, 0, [], None),
            (1, 9, [], None),
        ]
        for limit, offset, names, token in rows:
            models, found = self.on.management.list(limit, offset)
            self.assertEqual(([model.name for model in models], found), (names, token))

    def test_ready_means_loaded(self) -> None:
        self.start(workers=1, synchronous=False)
        self.assertFalse(self.on.management.is_ready("noop"))
        self.on.load_all()
        self.assertTrue(self.on.management.is_ready("noop"))
        self.assertRaises(ModelNotFound, self.on.management.is_ready, "other")


class SelfDescriptionTests(ManagementCase):
    """What a handler tells of itself."""

    def ask(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.on.management.describe_customized("noop", None, b"a: b\r\n"))

    def test_it_is_asked_like_a_prediction_and_alone(self) -> None:
        self.register(workers=1)
        asked = self.ask()
        self.on.stage.turn()
        (job,) = self.workers[0].batches[0][1]
        self.assertEqual(
            (job.request.flags, job.exclusive, job.request.header_block), (DESCRIBE, True, b"a: b\r\n")
        )
        self.workers[0].answer(Answer(200, b"", b'{"classes": 10, "score": NaN}'))
        self.assertEqual(self.successResultOf(asked).metadata, {"classes": 10, "score": None})

    def test_what_is_no_object_is_an_empty_one(self) -> None:
        self.register(workers=1)
        for body in (b"null", b"[1]", b"text", b"\xff"):
            asked = self.ask()
            self.on.stage.turn()
            self.workers[0].answer(Answer(200, b"", body))
            self.assertEqual(self.successResultOf(asked).metadata, {})

    def test_no_worker(self) -> None:
        self.register()
        self.failureResultOf(self.ask(), DescribeUnavailable)

    def test_the_workers_go_while_it_waits(self) -> None:
        self.successResultOf(self.start(workers=1, synchronous=False))
        asked = self.ask()
        self.successResultOf(self.scale(minimum=0, maximum=0))
        self.failureResultOf(asked, DescribeUnavailable)

    def test_the_handler_fails(self) -> None:
        self.register(workers=1)
        asked = self.ask()
        self.on.stage.turn()
        self.workers[0].answer(PredictionFailed(503, "Prediction failed"))
        self.failureResultOf(asked, InternalError)

    def test_the_handler_takes_too_long(self) -> None:
        self.successResultOf(self.start(workers=1, synchronous=False))
        asked = self.ask()
        self.on.stage.clock.advance(120)
        self.failureResultOf(asked, InternalError)
