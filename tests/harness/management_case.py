"""A management over workers in memory, and short words for its calls."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from modelserver.management.requests import RegisterRequest, ScaleRequest, VersionOverrides
from modelserver.spec import VersionSpec
from tests.harness.management import ManagementStage


class ManagementCase(SynchronousTestCase):
    """A management, and short words for its calls."""

    def setUp(self) -> None:
        self.on = self.make()
        self.on.add_model("noop.mar", "noop")

    def make(self, **more: Any) -> ManagementStage:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return ManagementStage(Path(folder.name), **more)

    @property
    def workers(self) -> list[Any]:
        return [worker for worker in self.on.stage.backend.workers if not worker.is_gone]

    def start(self, url: str = "noop.mar", workers: int = 0, **more: Any) -> Deferred[VersionSpec]:
        request = RegisterRequest(url, overrides=VersionOverrides(initial_workers=workers), **more)
        return Deferred.fromCoroutine(self.on.management.register(request))

    def register(self, url: str = "noop.mar", workers: int = 0, **more: Any) -> VersionSpec:
        started = self.start(url, workers, **more)
        self.on.load_all()
        return self.successResultOf(started)

    def scale(self, name: str = "noop", **more: Any) -> Deferred[bool]:
        return Deferred.fromCoroutine(self.on.management.scale(ScaleRequest(name, **more)))

    def unregister(self, name: str = "noop", version: str | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(self.on.management.unregister(name, version))
