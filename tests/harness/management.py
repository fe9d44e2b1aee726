"""Management over workers in memory and a model store in a temporary folder, for several tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from shutil import rmtree
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed

from modelserver.archive.manifest import MMS_RULES, TORCHSERVE_RULES
from modelserver.core.memory_budget import MemoryBudget
from modelserver.core.registry import Registry
from modelserver.errors import ArchiveExists, DownloadFailed
from modelserver.management.descriptions import Observer
from modelserver.management.handler_metadata import HandlerMetadata
from modelserver.management.models_json import VersionPreset
from modelserver.management.registration import VersionPreparer
from modelserver.management.rules import ManagementRules
from modelserver.management.service import Management
from modelserver.management.version_spec import VersionDefaults
from modelserver.sources.router import NAME, Sources
from modelserver.sources.store import StoreSource
from modelserver.sources.url_policy import UrlPolicy
from modelserver.spec import ProcessMemory, WorkerFailure, WorkerState
from modelserver.testing.providers import FakeInventory, Stage
from tests.harness.threads import at_once

LOAD_FAILURE = WorkerFailure("load", 0.0, exception="ImportError", text="no module", permanent=True)


@define
class HeldThread:
    """Instead of a thread: when the test says so."""

    calls: list[Callable[[], object]] = field(factory=list)
    holds: bool = False

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Deferred[Any]:
        if not self.holds:
            return at_once(function, *args, **kwargs)
        result: Deferred[Any] = Deferred()
        self.calls.append(lambda: maybeDeferred(function, *args, **kwargs).chainDeferred(result))
        return result

    def run_all(self) -> None:
        """Run what waits, and what that leads to; hold nothing more."""
        self.holds = False
        while self.calls:
            self.calls.pop(0)()


@define
class FakeDownloads:
    """The web: files by URL, and what goes wrong with others."""

    store: Path
    files: dict[str, Path] = field(factory=dict)
    failures: dict[str, DownloadFailed] = field(factory=dict)
    released: list[Path] = field(factory=list)
    slow: dict[str, Deferred[Path]] = field(factory=dict)
    """Those that are under way, by their URLs."""

    def fetch(self, url: str) -> Deferred[Path]:
        """What lies at the URL, as a file in the store."""
        if url in self.slow:
            return self.slow[url]
        if url not in self.files:
            return fail(self.failures.get(url) or DownloadFailed(url, "404 Not Found"))
        target = self.store / url.rpartition("/")[2]
        if target.exists():
            return fail(ArchiveExists(target.name))
        self.files[url].rename(target)
        return succeed(target)

    async def adopt(self, url: str) -> Path:
        """What a server before this one has left in the store."""
        return self.store / url.rpartition("/")[2]

    def release(self, path: Path, keeps_file: bool = False) -> Deferred[None]:
        """Delete the file, unless it is to be kept."""
        self.released.append(path)
        if not keeps_file:
            path.unlink() if path.is_file() else rmtree(path)
        return succeed(None)


@define(eq=False)
class ManagementStage:
    """Everything that management needs; ``folder`` is made by the test."""

    folder: Path
    dialect: str = "torchserve"
    gpus: int = 0
    defaults: VersionDefaults = field(factory=VersionDefaults)
    models: Mapping[str, Mapping[str, VersionPreset]] = field(factory=dict)
    unregister_timeout: float = 16.0
    memory: MemoryBudget | None = None
    stage: Stage = field(init=False)
    thread: HeldThread = field(factory=HeldThread, init=False)
    downloads: FakeDownloads = field(init=False)
    registry: Registry = field(factory=Registry, init=False)
    changes: list[None] = field(factory=list, init=False)
    management: Management = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.store.mkdir(parents=True)
        self.unpacked.mkdir()
        self.stage = Stage(self.gpus, memory=self.memory)
        self.downloads = FakeDownloads(self.store)
        is_mms = self.dialect == "mms"
        names = count()
        self.management = Management(
            registry=self.registry,
            preparer=VersionPreparer(
                sources=self._sources(),
                in_thread=self.thread,
                folder=self.unpacked,
                new_name=lambda: f"model-{next(names)}",
                rules=MMS_RULES if is_mms else TORCHSERVE_RULES,
                defaults=self.defaults,
                models=self.models,
            ),
            providers=self.stage.providers,
            observer=Observer(
                lambda pids: {pid: ProcessMemory(pid * 1000, pid * 600, pid * 400) for pid in pids},
                FakeInventory(self.gpus),
                self.thread,
            ),
            handler_metadata=HandlerMetadata(self.stage.clock, lambda size: b"\1" * size),
            rules=ManagementRules(
                self.unregister_timeout, one_version=is_mms, most_workers=self.defaults.most_workers
            ),
            changed=self._changed,
        )

    def _changed(self) -> Deferred[None]:
        self.changes.append(None)
        return succeed(None)

    def _sources(self) -> Sources:
        store = StoreSource(self.store, self.thread)
        store_or_path = StoreSource(self.store, self.thread, anywhere=True)
        return Sources(
            store=self.store,
            by_scheme={NAME: store, "file": store, "http": self.downloads, "https": self.downloads},
            of_operator={NAME: store_or_path, "file": store_or_path},
            policy=UrlPolicy(None),
            in_thread=self.thread,
        )

    @property
    def store(self) -> Path:
        """The model store."""
        return self.folder / "store"

    @property
    def unpacked(self) -> Path:
        """Where archives are unpacked."""
        return self.folder / "unpacked"

    def add_model(
        self, file: str, name: str = "", version: str = "1.0", config: str = "", **model: object
    ) -> None:
        """Put a model folder into the store."""
        folder = self.store / file
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "handler.py").write_text("def handle(data, context): return data\n")
        described: dict[str, object] = {"modelName": name or file, "modelVersion": version}
        described |= {"handler": "handler.py:handle", **model}
        if config:
            (folder / "model-config.yaml").write_text(config)
            described["configFile"] = "model-config.yaml"
        manifest = {"model": described, "runtime": "python", "engine": {"engineName": "MXNet"}}
        if self.dialect != "mms":
            del manifest["engine"]
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(manifest))

    def load_all(self) -> None:
        """Let every worker that starts load its model."""
        self.stage.turn()
        for worker in list(self.stage.backend.workers):
            if not worker.is_gone and worker.events.state is WorkerState.STARTING:  # type: ignore[attr-defined]
                worker.load()
        self.stage.turn()

    def left_on_disk(self) -> list[str]:
        """What is in the folder of unpacked archives."""
        return sorted(path.name for path in self.unpacked.iterdir())
