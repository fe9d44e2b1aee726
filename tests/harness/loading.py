"""Models that come when they are asked, over workers and archives of a test."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.version import ModelVersion
from modelserver.devices import HOST
from modelserver.inference.predict import Inference
from modelserver.jobs import Inputs
from modelserver.management.loading import LoadOnRequest
from modelserver.management.memory.budget import WorkerMemory
from modelserver.management.memory.watch import MemoryWatch
from modelserver.management.requests import RegisterRequest
from modelserver.management.version_spec import VersionDefaults
from modelserver.spec import VersionSpec
from modelserver.testing.providers import CollectingObserver
from tests.harness.management_case import ManagementCase
from tests.harness.threads import at_once


class LoadingCase(ManagementCase):
    """
    A management whose models are loaded by their first requests.

    :cvar limit: bytes of all workers together; 0: any.
    """

    limit = 0
    waits = False

    def setUp(self) -> None:
        super().setUp()
        management, clock = self.on.management, self.on.stage.clock
        self.loading = LoadOnRequest(management, clock.seconds, self.waits)
        self.inference = Inference(
            self.on.registry, Deadlines(clock), clock, self.on.stage.recorder, lambda size: b"\1" * size
        )
        self.sizes: dict[str, int] = {}
        if self.limit:
            self.memory.evict = self.loading.evict
            self.watch = MemoryWatch(self.memory, self.on.registry.all, self.shares, at_once, clock)
            self.watch.start()
            self.addCleanup(self.watch.stop)

    def make(self, **more: Any) -> Any:
        more.setdefault("defaults", VersionDefaults(startup_workers=1))
        if not self.limit:
            return super().make(**more)
        self.memory = WorkerMemory({HOST: self.limit}, self.versions, self.seconds)
        return super().make(memory=self.memory, **more)

    def seconds(self) -> float:
        return self.on.stage.clock.seconds()

    def versions(self) -> list[ModelVersion]:
        return self.on.registry.all()

    def shares(self, pids: Any) -> dict[int, int]:
        names = {worker.pid: worker.spec.version.name for worker in self.on.stage.backend.workers}
        return {pid: self.sizes.get(names[pid], 0) for pid in pids}

    def know(self, url: str = "noop.mar", **more: Any) -> VersionSpec:
        request = RegisterRequest(url, synchronous=False, start_up=True, **more)
        return self.successResultOf(Deferred.fromCoroutine(self.loading.know(request)))

    def version(self, name: str = "noop") -> ModelVersion:
        return self.on.registry.get(name)

    def ask(self, name: str = "noop", timeout: float = 0.0) -> CollectingObserver:
        """Send a request, and let happen what it makes happen; no worker loads by itself."""
        observer = CollectingObserver()
        self.inference.predict(name, None, Inputs(b"", b"", b"x"), observer, timeout)
        self.on.stage.turn()
        return observer

    def answer_all(self) -> None:
        """Let every worker answer what it has."""
        self.on.stage.turn()
        for worker in list(self.on.stage.backend.workers):
            while worker.batches:
                worker.answer()
        self.on.stage.turn()

    def serve(self, name: str = "noop") -> None:
        """Ask once, load what that brings, and have the answer."""
        observer = self.ask(name)
        self.on.load_all()
        self.answer_all()
        self.assertEqual((observer.bodies, observer.reasons), ([b"x"], []))

    def state(self, name: str = "noop") -> str:
        presence = self.version(name).presence
        return "" if presence is None else presence.value

    def pack(self, file: str) -> Path:
        """Make an archive of a model folder of the store, in its place."""
        folder = self.on.store / file
        archive = self.on.store / f"{file}.tmp"
        with zipfile.ZipFile(archive, "w") as container:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    container.write(path, str(path.relative_to(folder)))
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        folder.rmdir()
        return archive.rename(folder)
