"""The workflows of the start: those that are configured, and those of a snapshot."""

from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel, capturedLogs

from modelserver.config.settings import Settings
from modelserver.management.requests import ScaleRequest
from modelserver.management.snapshots.format import Snapshot
from modelserver.management.snapshots.restore import RestoreFailed
from modelserver.management.workflows.requests import WorkflowRequest
from modelserver.server.startup import check_snapshot
from tests.harness.startup import StartCase
from tests.harness.workflows import SEQUENTIAL, write_workflow


class LoadTests(StartCase):
    """``load_workflows``."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("noop.mar", "noop")
        for name in ("v", "w"):
            write_workflow(self.on.store / f"{name}.war", name=name)

    def load(self, workflows: str) -> list[str]:
        self.successResultOf(self.begin(workflows=workflows))
        return self.workflows.registry.names()

    def test_all_archives_of_the_store(self) -> None:
        write_workflow(self.on.store / ".hidden.war", name="hidden")
        self.assertEqual(["v", "w"], self.load("ALL"))
        self.assertEqual([], self.unready_workflows)

    def test_some_of_them_under_names(self) -> None:
        self.assertEqual(["a", "w"], self.load("a=w.war,w.war"))

    def test_none(self) -> None:
        self.assertEqual([], self.load(""))

    def test_workers_load_after_the_start(self) -> None:
        self.load("w.war")
        self.assertIn("w__c", self.unready)
        self.on.load_all()
        self.assertEqual([], self.unready)

    def test_one_that_fails_is_told_and_the_others_are_loaded(self) -> None:
        write_workflow(self.on.store / "bad.war", "models: {}\ndag: {}\n")
        with capturedLogs() as events:
            self.assertEqual(["w"], self.load("bad.war,absent.war,w.war"))
        errors = [event for event in events if event["log_level"] is LogLevel.error]
        self.assertEqual(["workflow bad", "workflow absent"], [event["label"] for event in errors])
        self.assertEqual(["workflow absent", "workflow bad"], self.unready_workflows)
        self.assertEqual([], self.written())

    @property
    def unready_workflows(self) -> list[str]:
        return [name for name in self.unready if name.startswith("workflow")]


class RestoreTests(StartCase):
    """Workflows come back with the newest snapshot."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("noop.mar", "noop")
        self.successResultOf(self.begin())

    def do(self, work: object) -> object:
        """Let a use case come to its end."""
        ended: Deferred[object] = Deferred.fromCoroutine(work)  # type: ignore[arg-type]  # a coroutine
        for _ in range(4):
            self.on.load_all()
        return self.successResultOf(ended)

    def restart(self, snapshot: Snapshot) -> None:
        """Serve the same store anew."""
        store = self.on.store
        self.tearDown()
        super().setUp()
        for path in store.iterdir():
            path.rename(self.on.store / path.name)
        self.successResultOf(self.begin(snapshot=snapshot))

    def test_a_workflow_comes_back_as_it_was(self) -> None:
        for version in ("1", "2"):
            write_workflow(self.on.store / f"w{version}.war", f"version: {version}\n{SEQUENTIAL}")
            self.do(self.workflows.management.register(WorkflowRequest(f"w{version}.war")))
        self.do(self.workflows.management.set_default("w", "2"))
        self.do(self.on.management.scale(ScaleRequest("w__c", "2", 3, 3)))
        snapshot = self.newest()
        self.assertEqual({}, snapshot.models)
        self.restart(snapshot)
        self.assertEqual("2", self.workflows.registry.get("w").version)
        self.assertEqual(2, len(self.workflows.registry.versions("w")))
        self.assertEqual(3, self.on.registry.get("w__c").spec.workers.minimum)
        self.assertEqual("2", self.on.registry.get("w__c").spec.version)
        self.assertEqual(snapshot.workflows, self.newest().workflows)

    def test_an_unregistered_workflow_does_not_come_back(self) -> None:
        write_workflow(self.on.store / "w.war")
        self.do(self.workflows.management.register(WorkflowRequest("w.war")))
        self.do(self.workflows.management.unregister("w"))
        self.assertEqual({}, self.newest().workflows)

    def test_one_that_is_another_version_now_is_refused(self) -> None:
        write_workflow(self.on.store / "w.war", f"version: 1\n{SEQUENTIAL}")
        self.do(self.workflows.management.register(WorkflowRequest("w.war")))
        snapshot = self.newest()
        write_workflow(self.on.store / "w.war", f"version: 2\n{SEQUENTIAL}")
        self.restart(snapshot)
        self.assertEqual([], self.workflows.registry.names())
        self.assertEqual(["workflow w"], self.unready)

    def test_a_missing_archive_stops_the_start_as_that_of_a_model_does(self) -> None:
        write_workflow(self.on.store / "w.war")
        self.do(self.workflows.management.register(WorkflowRequest("w.war")))
        snapshot, store = self.newest(), self.on.store
        settings = Settings(model_store=store, model_snapshot=snapshot)
        check_snapshot(settings)
        (store / "w.war").unlink()
        error = self.assertRaises(RestoreFailed, check_snapshot, settings)
        self.assertEqual(
            "Workflow archive file for workflow :w, version :1.0 not found in workflow store", str(error)
        )
        check_snapshot(evolve(settings, dialect="mms"))
