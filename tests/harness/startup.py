"""A start of the server's models over workers in memory."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.config.loading import parse_properties
from modelserver.config.model_list import parse_load_models
from modelserver.config.settings import Settings
from modelserver.inference.health import unready_models
from modelserver.inference.load_status import LoadStatus
from modelserver.management.descriptions import describe_version
from modelserver.management.loading import LoadOnRequest
from modelserver.management.snapshots.format import Snapshot, newest_snapshot, parse_snapshot
from modelserver.management.snapshots.writer import Snapshots
from modelserver.management.version_spec import VersionDefaults
from modelserver.server.startup import start_models
from tests.harness.management import ManagementStage
from tests.harness.workflows import WorkflowStage


class StartCase(SynchronousTestCase):
    """A start over workers in memory."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.on = ManagementStage(self.folder, defaults=VersionDefaults(startup_workers=1))
        self.start_up = LoadStatus()
        self.loading = LoadOnRequest(self.on.management, self.on.stage.clock.seconds)
        self.workflows = WorkflowStage(self.on)
        self.snapshots = Snapshots(
            self.folder / "config",
            {"model_store": "store", "keystore_pass": "hush"},
            lambda: [],
            self.on.stage.now,
            self.on.thread,
            self.on.stage.call_soon,
        )
        self.follow(self.snapshots)

    def follow(self, snapshots: Snapshots) -> None:
        """Let this one know of changes, and see what is registered."""
        registry = self.on.registry
        snapshots.versions = lambda: [
            describe_version(each, registry.is_default(each)) for each in registry.all()
        ]
        self.on.management.changed = self.workflows.management.changed = snapshots.changed
        snapshots.workflows = self.workflows.management.registered

    def begin(
        self,
        models: str = "",
        snapshot: Snapshot | None = None,
        parallelism: int = 4,
        workflows: str = "",
        load: str = "at_start",
    ) -> Deferred[None]:
        settings = Settings(
            model_store=self.on.store,
            temporary_folder=self.folder,
            load_models=parse_load_models(models),
            load_workflows=parse_load_models(workflows),
            model_snapshot=snapshot,
            startup_parallelism=parallelism,
            load=load,
        )
        return Deferred.fromCoroutine(
            start_models(settings, self.loading, self.workflows.management, self.start_up, self.snapshots)
        )

    @property
    def unready(self) -> list[str]:
        return unready_models(self.on.registry, self.start_up)

    @property
    def served(self) -> list[str]:
        return self.on.registry.names()

    def written(self) -> list[str]:
        """The occasions of the snapshots on disk, in order."""
        folder = self.folder / "config"
        names = sorted(path.name for path in folder.iterdir()) if folder.exists() else []
        return [name.rpartition("-")[2].removesuffix(".cfg") for name in names]

    def newest(self) -> Snapshot:
        path = newest_snapshot(self.folder / "config")
        assert path is not None
        return parse_snapshot(parse_properties(path.read_text("ascii"))["model_snapshot"])
