"""Loads the models of a server's start."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from modelserver.config.model_list import StartupModel
from modelserver.config.settings import Settings
from modelserver.dialect_rules import DIALECTS, TORCHSERVE
from modelserver.errors import ServingError
from modelserver.inference.load_status import LoadStatus
from modelserver.language.attributes import define
from modelserver.management.loading import LoadOnRequest
from modelserver.management.requests import RegisterRequest
from modelserver.management.service import Management
from modelserver.management.snapshots.restore import Restorer, check_archives, settle
from modelserver.management.snapshots.writer import Snapshots
from modelserver.management.workflows.service import WorkflowManagement
from modelserver.server.workflow_startup import load_workflows, workflow_label, workflow_requests
from modelserver.sources.part_file import sweep
from modelserver.sources.urls import is_remote
from modelserver.spec import VersionSpec
from modelserver.system.run_folders import sweep_folders

_log = Logger()
_ENDINGS = re.compile(r"\.(?:mar|model|tar\.gz|tgz|zip|[^.]*)$")


async def start_models(
    settings: Settings,
    loading: LoadOnRequest,
    workflows: WorkflowManagement,
    start_up: LoadStatus,
    snapshots: Snapshots | None,
) -> None:
    """
    Restore the snapshot, or register the models and workflows of the start; from then on, snapshots are
    written.

    It ends when the first snapshot is on disk; workers go on loading.

    :param start_up: keeps which models are still to come, and which have failed.
    """
    management = loading.management
    snapshot = settings.model_snapshot
    models = models_to_load(settings)
    # Before anything is awaited, so that requests from now on are answered that the models are loading.
    start_up.expect(map(label, models) if snapshot is None else snapshot.models)
    requests = workflow_requests(settings)
    start_up.expect(map(workflow_label, requests))
    for store in dict.fromkeys((settings.model_store, settings.workflow_folder)):
        if store is not None:
            await management.preparer.in_thread(sweep_store, store)
    await management.preparer.in_thread(sweep_unpacked, settings.temporary_folder)
    is_complete = True
    if snapshot is not None:
        restorer = Restorer(management, start_up, settings.startup_parallelism, loading.know)
        is_complete = await restorer.restore(snapshot)
    else:
        know = loading.know if settings.loads_on_request else None
        await StartupLoader(settings.startup_parallelism, management, start_up, know).load(models)
    is_complete = await load_workflows(workflows, requests, start_up) and is_complete
    if snapshots is not None:
        await snapshots.begin(is_complete)


def sweep_store(store: Path) -> None:
    """Remove the partial downloads that a killed server has left in the model store. Blocks."""
    try:
        swept = sweep(store)
    except OSError as error:
        _log.warn("The model store cannot be read: {error}", error=str(error))
        return
    for path in swept:
        _log.info("Removed {path}, a download that nobody ended", path=str(path))


def sweep_unpacked(temporary: Path | None) -> None:
    """Remove what servers that were killed have unpacked and left. Blocks."""
    for path in sweep_folders(temporary):
        _log.info("Removed {path}, which a server that was killed has left", path=str(path))


class StoreMissing(Exception):
    """The configuration names a model store that is not there."""


def require_store(store: Path | None, option: str = "--model-store") -> None:
    """
    Refuse a store that is not there, as TorchServe does. Blocks.

    Its name may be in quotation marks, or its volume is not mounted: a server without models
    would look healthy.

    :raises StoreMissing: there is no such folder.
    """
    if store is not None and not store.is_dir():
        raise StoreMissing(f"{option} directory not found: {store}")


class ClusterMissing(Exception):
    """Workers shall run on a cluster, and cannot."""


def require_cluster(settings: Settings) -> None:
    """
    Refuse a configuration whose workers could be placed nowhere.

    :raises ClusterMissing: the extra is not installed, or no cluster is named.
    """
    where = settings.version_settings.get("placement", "local")
    if settings.ray_address is None:
        if where != "local":
            raise ClusterMissing(f"placement={where} needs a Ray cluster: set ray_address.")
    elif find_spec("ray") is None:
        raise ClusterMissing(f"ray_address={settings.ray_address} needs Ray: pip install 'modelserver[ray]'")


_LATER = {
    "automat": ("Workers need", "Automat"),
    "yaml": ("The configuration of models needs", "PyYAML"),
}


class LibraryMissing(Exception):
    """A library is not installed that the server needs later."""


def require_libraries(find: Callable[[str], object] = find_spec) -> None:
    """
    Look for what is loaded when the server serves, or with the first model that has need of it.

    :raises LibraryMissing: one is not installed.
    """
    for module, (use, package) in _LATER.items():
        if find(module) is None:
            raise LibraryMissing(f"{use} {package}, which is not installed: pip install {package}")


def check_snapshot(settings: Settings) -> None:
    """
    Check that every archive is there that the snapshot, if there is one, names. Blocks.

    :raises RestoreFailed: one is not.
    """
    snapshot = settings.model_snapshot
    if snapshot is not None:
        if not DIALECTS[settings.dialect].has_workflows:
            snapshot = evolve(snapshot, workflows={})  # none are restored
        check_archives(snapshot, settings.model_store, settings.workflow_folder)


@define(eq=False)
class StartupLoader:
    """
    Registers models of the start, ``parallelism`` at a time, since each takes memory while it loads.

    :param know: serves a version that is loaded when it is asked; None: all are loaded now.
    """

    parallelism: int
    management: Management
    start_up: LoadStatus
    know: Callable[[RegisterRequest], Awaitable[VersionSpec]] | None = None

    async def load(self, models: Iterable[StartupModel]) -> None:
        """
        Register all models; one that fails is logged, named by readiness, and left out.

        It ends when all are registered; a model has its turn until its workers have loaded it.
        """
        turns = DeferredSemaphore(max(1, self.parallelism))
        registered = []
        for model in models:
            registered.append(Deferred[None]())
            turns.run(self._begin, model, registered[-1])
        await DeferredList(registered)

    def _begin(self, model: StartupModel, registered: Deferred[None]) -> Deferred[None]:
        def ended(result: object) -> None:
            if not registered.called:
                registered.callback(None)

        loading = Deferred.fromCoroutine(self._load(model, registered)).addErrback(
            lambda failure: _log.failure("Failed to load model: {model}", failure, model=model.url)
        )
        return loading.addBoth(ended)

    async def _load(self, model: StartupModel, registered: Deferred[None]) -> None:
        _log.info("Loading initial models: {model}", model=str(model))
        request = RegisterRequest(
            model.url, model.name, synchronous=False, start_up=True, fallback_name=name_of(model.url)
        )
        # What is downloaded is looked at only when it is here: it is loaded at once.
        know = None if is_remote(model.url) else self.know
        try:
            spec = await (know or self.management.register)(request)
        except ServingError as error:
            self.start_up.failed(label(model), str(error))
            _log.error("Failed to load model: {model}: {error}", model=model.url, error=str(error))
            return
        self.start_up.registered(label(model))
        registered.callback(None)
        if know is None and await settle(self.management, spec.name, spec.version):
            _log.info("Model {model} version {version} is ready.", model=spec.name, version=spec.version)


def label(model: StartupModel) -> str:
    """Return the name of a model whose archive is not open yet."""
    return model.name or name_of(model.url)


def models_to_load(settings: Settings) -> tuple[StartupModel, ...]:
    """Return the models of ``load_models``; ``all`` means all archives and folders of the store. Blocks."""
    if not settings.load_models.everything:
        return settings.load_models.models
    return tuple(StartupModel(None, name) for name in archives_in(settings.model_store, settings.dialect))


def archives_in(store: Path | None, dialect: str = TORCHSERVE.name) -> list[str]:
    """Return the names of all archives and folders of a model store, without hidden ones. Blocks."""
    if store is None or not store.is_dir():
        return []
    endings = DIALECTS[dialect].archive_endings
    return sorted(
        entry.name
        for entry in store.iterdir()
        if not entry.name.startswith(".") and (entry.is_dir() or entry.name.endswith(endings))
    )


def name_of(location: str) -> str:
    """Return the name of a model whose archive has none: the last component, without its suffix."""
    last = location.partition("?")[0].rstrip("/").rsplit("/", 1)[-1]
    return re.sub(r"\W", "_", _ENDINGS.sub("", last), flags=re.ASCII)
