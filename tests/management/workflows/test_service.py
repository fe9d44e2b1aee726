"""The use cases of workflows: each happens as a whole, or not at all."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from modelserver.errors import (
    ArchiveNotFound,
    BadRequest,
    DownloadFailed,
    ModelNotFound,
    VersionExists,
    WorkersFailed,
)
from modelserver.management.requests import RegisterRequest
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import CollectingObserver, make_job
from modelserver.workflows.errors import (
    DefaultWorkflowInUse,
    ModelInUse,
    WorkflowBusy,
    WorkflowExists,
    WorkflowFailed,
    WorkflowNotFound,
    WorkflowStays,
)
from modelserver.workflows.spec import NodeModel
from tests.harness.management import LOAD_FAILURE
from tests.harness.workflows import SEQUENTIAL, WorkflowCase

ONE = "models: {c: {url: noop.mar}}\ndag: {c: []}\n"
REFERENCE = "models: {c: {model: noop}}\ndag: {c: []}\n"


class Unheard:
    """Takes the place of a worker whose end is never seen."""

    def exited(self, failure: WorkerFailure) -> None:
        """Nobody is told."""


class RegisterTests(WorkflowCase):
    """What a registration leads to."""

    def test_each_node_is_a_version_of_its_own(self) -> None:
        self.add()
        started = self.start()
        self.assertNoResult(started)
        self.on.load_all()
        workflow = self.successResultOf(started)
        self.assertEqual(["w__c", "w__post", "w__pre"], self.on.registry.names())
        self.assertIs(workflow, self.stage.registry.get("w"))
        self.assertEqual(
            {name: NodeModel(f"w__{name}", "1.0") for name in ("pre", "c", "post")}, workflow.models
        )
        self.assertEqual("w.war", workflow.url)
        self.assertEqual(3, len(self.workers))

    def test_functions_run_from_the_folder_of_the_workflow(self) -> None:
        self.add()
        self.register()
        model, function = (self.on.registry.get(f"w__{name}").spec for name in ("c", "pre"))
        self.assertEqual(("handler.py:handle", "noop.mar"), (model.handler, model.url))
        self.assertEqual(("h.py:pre", "", "1.0"), (function.handler, function.url, function.version))
        self.assertTrue((function.folder / "h.py").is_file())
        self.assertNotEqual(model.folder, function.folder)
        self.assertEqual(("w", "w"), (model.workflow, function.workflow))
        self.assertIn("workflow", function.manifest or {})

    def test_functions_are_not_listed_as_models(self) -> None:
        self.add()
        self.register()
        models, token = self.on.management.list(100, 0)
        self.assertEqual((["w__c"], None), ([model.name for model in models], token))

    def test_settings_of_the_specification_hold(self) -> None:
        spec = (
            "models:\n  max-workers: 2\n  batch-size: 3\n  max-batch-delay: 70\n  c: {url: noop.mar}\n"
            "dag: {pre: [c]}\n"
        )
        self.add(spec)
        self.register(settings={"response_timeout": 7.0, "startup_timeout": 8.0})
        model, function = (self.on.registry.get(f"w__{name}").spec for name in ("c", "pre"))
        self.assertEqual((2, 2), (model.workers.minimum, model.workers.maximum))
        self.assertEqual((3, 0.07), (model.batching.size, model.batching.max_delay))
        self.assertEqual((1, 1), (function.workers.maximum, function.batching.size))
        self.assertEqual(0.0, function.batching.max_delay)
        for spec_of in (model, function):
            self.assertEqual((7.0, 8.0), (spec_of.timeouts.response, spec_of.timeouts.startup))
        self.assertEqual(3, len(self.workers))

    def test_another_name_has_node_models_of_its_own(self) -> None:
        self.add()
        self.register()
        self.register(name="v")
        self.assertEqual(["v", "w"], self.stage.registry.names())
        self.assertIn("v__c", self.on.registry.names())

    def test_a_name_is_taken_while_it_is_registered_and_after(self) -> None:
        self.add()
        first = self.start()
        self.failureResultOf(self.start(), WorkflowBusy)
        self.on.load_all()
        self.successResultOf(first)
        self.failureResultOf(self.start(), WorkflowExists)
        self.assertEqual(1, sum(name.startswith("workflow") for name in self.on.left_on_disk()))

    def test_a_referenced_model_is_loaded_once(self) -> None:
        self.add(REFERENCE, "a.war", name="a")
        self.add("models: {c: {model: noop/1.0}}\ndag: {c: []}\n", "b.war", name="b")
        self.served_by_itself()
        self.assertEqual({"c": NodeModel("noop")}, self.register("a.war").models)
        self.assertEqual({"c": NodeModel("noop", "1.0")}, self.register("b.war").models)
        self.assertEqual(["noop"], self.on.registry.names())
        for name in ("a", "b"):
            self.successResultOf(self.unregister(name))
        self.assertEqual(["noop"], self.on.registry.names())

    def test_a_start_does_not_wait_for_workers(self) -> None:
        self.add()
        self.successResultOf(self.start(synchronous=False, start_up=True))
        self.assertFalse(any(each.spec.loaded_at_startup for each in self.on.registry.all()))

    def test_a_workflow_of_the_start_leads_to_no_archives_outside_of_the_store(self) -> None:
        outside = self.on.folder / "outside.mar"
        (self.on.store / "noop.mar").rename(outside)
        self.add(f"models: {{c: {{url: {outside}}}}}\ndag: {{c: []}}\n")
        error = self.failureResultOf(self.start(synchronous=False, start_up=True), WorkflowFailed).value
        self.assertIsInstance(error.failures[0].cause, ArchiveNotFound)

    def test_scaled_nodes_come_back_with_their_workers(self) -> None:
        self.add(ONE)
        self.register(workers={"c": (2, 4)})
        workers = self.on.registry.get("w__c").spec.workers
        self.assertEqual((2, 4), (workers.minimum, workers.maximum))

    def test_numbers_of_a_workflow_go_with_its_last_version(self) -> None:
        self.add()
        self.register()
        self.successResultOf(self.unregister())
        self.assertEqual(1, self.on.stage.recorder.counts["workflow_gone", "w"])

    def test_snapshots_are_told_of_a_workflow_once(self) -> None:
        self.add()
        self.register()
        self.successResultOf(self.unregister())
        self.assertEqual(2, len(self.on.changes))

    def served_by_itself(self) -> None:
        """Register the model of the store."""
        registered = Deferred.fromCoroutine(self.on.management.register(RegisterRequest("noop.mar")))
        self.on.load_all()
        self.successResultOf(registered)


class FailedRegistrationTests(WorkflowCase):
    """A registration that fails leaves nothing."""

    def failures(self) -> WorkflowFailed:
        started = self.start()
        for _ in range(4):
            self.on.load_all()
        error = self.failureResultOf(started, WorkflowFailed).value
        assert isinstance(error, WorkflowFailed)
        return error

    def test_a_node_that_is_not_found_undoes_the_others(self) -> None:
        self.add("models: {c: {url: noop.mar}, d: {url: absent.mar}}\ndag: {pre: [c], c: [d]}\n")
        error = self.failures()
        (failure,) = error.failures
        self.assertIsInstance(failure.cause, ArchiveNotFound)
        self.assertEqual(("d", "w__d"), (failure.node, failure.model))
        self.assertEqual(
            "Workflow w has failed to register. Failures: [Workflow Node w__d failed to register. "
            "Details: Model not found at: absent.mar]",
            str(error),
        )
        self.assert_nothing_is_left()
        self.assertEqual([], self.on.changes)

    def test_a_worker_that_cannot_start_undoes_the_others(self) -> None:
        self.add()
        started = self.start()
        self.on.stage.turn()
        failing = next(each for each in self.workers if each.spec.version.name == "w__c")
        failing.exit(LOAD_FAILURE)
        self.on.load_all()
        error = self.failureResultOf(started, WorkflowFailed).value
        self.assertIsInstance(error.failures[0].cause, WorkersFailed)
        self.assert_nothing_is_left()

    def test_a_download_that_fails_undoes_the_others(self) -> None:
        self.add("models: {c: {url: 'http://models.example/x.mar'}}\ndag: {pre: [c]}\n")
        self.assertIsInstance(self.failures().failures[0].cause, DownloadFailed)
        self.assert_nothing_is_left()

    def test_a_model_that_is_not_served_cannot_be_referenced(self) -> None:
        self.add(REFERENCE)
        self.assertIsInstance(self.failures().failures[0].cause, ModelNotFound)
        self.assert_nothing_is_left()

    def test_the_name_of_a_node_may_be_taken_by_a_model(self) -> None:
        registered = Deferred.fromCoroutine(
            self.on.management.register(RegisterRequest("noop.mar", name="w__c"))
        )
        self.successResultOf(registered)
        self.add()
        self.assertIsInstance(self.failures().failures[0].cause, VersionExists)
        self.assert_nothing_is_left("w__c")

    def test_too_many_workers_are_refused(self) -> None:
        self.add("models: {c: {url: noop.mar, max-workers: 129}}\ndag: {c: []}\n")
        error = self.failureResultOf(self.start(), BadRequest).value
        self.assertIn("models.c.max-workers is 129", str(error))
        self.assert_nothing_is_left()

    def test_a_referenced_model_may_go_meanwhile(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.on.management.register(RegisterRequest("noop.mar"))))
        self.add("models: {r: {model: noop}}\ndag: {r: [pre]}\n")
        started = self.start()
        self.successResultOf(Deferred.fromCoroutine(self.on.management.unregister("noop")))
        self.on.load_all()
        self.failureResultOf(started, WorkflowFailed)
        self.assert_nothing_is_left()


class UnregisterTests(WorkflowCase):
    """A workflow goes with everything that belongs to it."""

    def test_nodes_and_files_go(self) -> None:
        self.add()
        self.register()
        self.successResultOf(self.unregister())
        self.assert_nothing_is_left()
        self.assertTrue((self.on.store / "w.war").is_file())
        self.failureResultOf(self.unregister(), WorkflowNotFound)
        self.register()

    def test_runs_in_progress_are_finished_first(self) -> None:
        self.add()
        self.register()
        self.stage.runs.is_busy = True
        gone = self.unregister()
        self.assertFalse(self.stage.registry.has("w"))
        self.assertNoResult(gone)
        self.assertIn("w__c", self.on.registry.names())
        self.failureResultOf(self.start(), WorkflowBusy)
        self.stage.runs.waiting[0].callback(None)
        self.successResultOf(gone)
        self.assert_nothing_is_left()

    def test_models_of_others_stay_until_the_runs_have_ended(self) -> None:
        registered = Deferred.fromCoroutine(self.on.management.register(RegisterRequest("noop.mar")))
        self.successResultOf(registered)
        self.add(REFERENCE)
        self.register()
        self.stage.runs.is_busy = True
        gone = self.unregister()
        removed = Deferred.fromCoroutine(self.on.management.unregister("noop"))
        self.failureResultOf(removed, ModelInUse)
        self.stage.runs.waiting[0].callback(None)
        self.successResultOf(gone)
        self.successResultOf(Deferred.fromCoroutine(self.on.management.unregister("noop")))
        self.assert_nothing_is_left()

    def test_runs_that_take_long_fail_with_their_nodes(self) -> None:
        self.add(ONE)
        self.register()
        in_hand = CollectingObserver()
        self.on.registry.get("w__c").pool.put(make_job(b"a", observer=in_hand))
        self.on.stage.turn()
        self.stage.runs.is_busy = True
        gone = self.unregister()
        self.on.stage.clock.advance(15)
        self.assertEqual([], in_hand.errors)
        self.on.stage.clock.advance(1)
        self.successResultOf(gone)
        self.assertEqual(1, len(in_hand.errors))
        self.assert_nothing_is_left()

    def test_models_that_do_not_end_are_told(self) -> None:
        self.add(ONE)
        self.register()
        self.workers[0].events = Unheard()
        gone = self.unregister()
        self.on.stage.clock.advance(16 + 2 * 5)
        self.failureResultOf(gone, WorkflowStays)
        self.assertEqual(["w__c"], self.on.registry.names())
        self.successResultOf(Deferred.fromCoroutine(self.on.management.unregister("w__c")))
        self.assert_nothing_is_left()

    def test_the_end_of_the_server_removes_files(self) -> None:
        self.add()
        self.register()
        self.successResultOf(Deferred.fromCoroutine(self.on.management.close()))
        self.successResultOf(Deferred.fromCoroutine(self.stage.management.close()))
        self.assertEqual([], self.on.left_on_disk())


class NeededModelTests(WorkflowCase):
    """What a workflow needs stays."""

    def unregister_model(self, name: str, version: str | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(self.on.management.unregister(name, version))

    def test_a_nodes_model_stays_while_the_workflow_is_there(self) -> None:
        self.add()
        started = self.start()
        self.failureResultOf(self.unregister_model("w__c"), ModelInUse)
        self.on.load_all()
        self.successResultOf(started)
        for name in ("w__c", "w__pre"):
            error = self.failureResultOf(self.unregister_model(name), ModelInUse).value
            self.assertEqual(("w",), error.workflows)
        self.assertEqual(["w__c", "w__post", "w__pre"], self.on.registry.names())

    def test_a_referenced_model_stays_while_it_is_meant(self) -> None:
        self.on.add_model("second.mar", "noop", "2.0")
        for file in ("noop.mar", "second.mar"):
            registered = Deferred.fromCoroutine(self.on.management.register(RegisterRequest(file)))
            self.successResultOf(registered)
        self.add(REFERENCE)
        self.register()
        self.successResultOf(self.unregister_model("noop", "2.0"))
        self.failureResultOf(self.unregister_model("noop"), ModelInUse)
        self.successResultOf(self.unregister())
        self.successResultOf(self.unregister_model("noop"))


class VersionTests(WorkflowCase):
    """Workflows that say their version."""

    def setUp(self) -> None:
        super().setUp()
        for version in ("1", "2"):
            self.add(f"version: {version}\n{SEQUENTIAL}", f"w{version}.war")
            self.register(f"w{version}.war")

    def test_nodes_have_the_version_of_their_workflow(self) -> None:
        self.assertEqual("1", self.stage.registry.get("w").version)
        for name in ("w__c", "w__pre"):
            self.assertEqual(["1", "2"], [each.spec.version for each in self.on.registry.versions(name)])
        self.assertEqual(NodeModel("w__c", "2"), self.stage.registry.get("w", "2").models["c"])

    def test_the_default_of_a_workflow_is_that_of_its_nodes(self) -> None:
        changed = Deferred.fromCoroutine(self.stage.management.set_default("w", "2"))
        self.assertEqual("2", self.successResultOf(changed).version)
        self.assertEqual("2", self.on.registry.get("w__c").spec.version)

    def test_the_default_of_several_stays(self) -> None:
        self.failureResultOf(self.unregister(), DefaultWorkflowInUse)
        self.successResultOf(Deferred.fromCoroutine(self.stage.management.set_default("w", "2")))
        self.successResultOf(self.unregister(version="1"))
        self.assertEqual("2", self.stage.registry.get("w").version)
        self.successResultOf(self.unregister())
        self.assert_nothing_is_left()


class ListTests(WorkflowCase):
    """Pages of the list of workflows."""

    def test_pages(self) -> None:
        self.add(ONE)
        for name in ("c", "a", "b"):
            self.register(name=name)
        for limit, offset, names, token in (
            (2, 0, ["a", "b"], "2"),
            (2, 2, ["c"], None),
            (3, 0, ["a", "b", "c"], None),
            (0, 0, [], None),
        ):
            page, next_token = self.stage.management.list(limit, offset)
            self.assertEqual((names, token), ([each.name for each in page], next_token))
