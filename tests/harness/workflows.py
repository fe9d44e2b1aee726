"""The management of workflows over workers in memory, and archives of workflows for it."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.workflow_spec import SpecLimits
from modelserver.management.workflows.preparation import WorkflowPreparer
from modelserver.management.workflows.requests import WorkflowRequest
from modelserver.management.workflows.service import WorkflowManagement, needed_by
from modelserver.workflows.registry import WorkflowRegistry
from modelserver.workflows.spec import Workflow
from tests.harness.management import ManagementStage

CREATED = "29/11/2026 10:00:00"
SEQUENTIAL = "models: {c: {url: noop.mar}}\ndag: {pre: [c], c: [post]}\n"
FUNCTIONS = "def pre(data, context): return data\ndef post(data, context): return data\n"


def workflow_manifest(name: str = "w", **workflow: object) -> dict[str, object]:
    """Return a manifest as torch-workflow-archiver writes it."""
    return {
        "createdOn": CREATED,
        "workflow": {"workflowName": name, "specFile": "w.yaml", "handler": "h.py", **workflow},
        "archiverVersion": "0.2.15",
    }


def write_workflow(
    target: Path, spec: str = SEQUENTIAL, name: str = "w", functions: str = FUNCTIONS, **workflow: object
) -> None:
    """Write the archive of a workflow."""
    with ZipFile(target, "w") as archive:
        archive.writestr("w.yaml", spec)
        archive.writestr("h.py", functions)
        archive.writestr("WAR-INF/MANIFEST.json", json.dumps(workflow_manifest(name, **workflow)))


@define(eq=False)
class HeldRuns:
    """Instead of who executes workflows: idle unless the test says otherwise."""

    waiting: list[Deferred[None]] = field(factory=list)
    is_busy: bool = False

    def when_idle(self, workflow: Workflow) -> Deferred[None]:
        """Wait for the test, or not."""
        if not self.is_busy:
            return succeed(None)
        self.waiting.append(Deferred())
        return self.waiting[-1]


@define(eq=False)
class WorkflowStage:
    """Management of workflows over a management of models, with one store for both."""

    on: ManagementStage
    spec_limits: SpecLimits = field(factory=SpecLimits)
    runs: HeldRuns = field(factory=HeldRuns, init=False)
    registry: WorkflowRegistry = field(factory=WorkflowRegistry, init=False)
    management: WorkflowManagement = field(init=False)

    def __attrs_post_init__(self) -> None:
        models = self.on.management
        names = count()
        models.needed_by = lambda version: needed_by(self.registry, models.registry, version)
        self.management = WorkflowManagement(
            self.registry,
            models,
            WorkflowPreparer(
                models.preparer.sources,
                models.preparer.in_thread,
                models.preparer.folder,
                lambda: f"workflow-{next(names)}",
                spec_limits=self.spec_limits,
            ),
            self.runs,
            changed=models.changed,
        )


class WorkflowCase(SynchronousTestCase):
    """A management of workflows with one model in the store, and short words for its calls."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.on = ManagementStage(Path(folder.name))
        self.on.add_model("noop.mar", "noop")
        self.stage = WorkflowStage(self.on)

    @property
    def workers(self) -> list[Any]:
        return [worker for worker in self.on.stage.backend.workers if not worker.is_gone]

    def add(self, spec: str = SEQUENTIAL, file: str = "w.war", **more: Any) -> None:
        write_workflow(self.on.store / file, spec, **more)

    def start(self, url: str = "w.war", **more: Any) -> Deferred[Workflow]:
        return Deferred.fromCoroutine(self.stage.management.register(WorkflowRequest(url, **more)))

    def register(self, url: str = "w.war", **more: Any) -> Workflow:
        started = self.start(url, **more)
        for _ in range(16):  # nodes load a few at a time
            self.on.load_all()
        return self.successResultOf(started)

    def unregister(self, name: str = "w", version: str | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(self.stage.management.unregister(name, version))

    def assert_nothing_is_left(self, *models: str) -> None:
        """Fail if a workflow, a file, a worker or a model is left, but for ``models``."""
        self.assertEqual([], self.stage.registry.names())
        self.assertEqual(sorted(models), self.on.registry.names())
        self.assertEqual([], self.workers)
        left = [name for name in self.on.left_on_disk() if name.startswith("workflow")]
        self.assertEqual([], left)
        if not models:
            self.assertEqual([], self.on.left_on_disk())
