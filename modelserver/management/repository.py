"""The model store as a repository: what lies there, and models that are loaded and unloaded by their names.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from pathlib import Path

from modelserver.core.version import ModelVersion
from modelserver.errors import BadRequest, ModelNotFound, StoreNotConfigured, Unregistered, VersionExists
from modelserver.language.attributes import frozen
from modelserver.management.requests import RegisterRequest, ScaleRequest, VersionOverrides
from modelserver.management.service import Management
from modelserver.sources.catalogue import locate, models_in
from modelserver.workflows.errors import ModelInUse


class RepositoryState(Enum):
    """What clients are told of a model, in Triton's words."""

    READY = "READY"
    LOADING = "LOADING"
    UNAVAILABLE = "UNAVAILABLE"


_NOT_HERE = ("config", "file:")
"""How the names of parameters begin with which Triton's clients send a model instead of naming it."""
UNLOADED = "unloaded"
"""Triton's reason for a model that nobody has loaded, or somebody has unloaded."""


def check_parameters(names: Iterable[str]) -> None:
    """
    Refuse the parameters of a load that would make another model of it; others say nothing here.

    :raises BadRequest: there is such a one.
    """
    for name in names:
        if name.startswith(_NOT_HERE):
            raise BadRequest(f"{name} is not supported: a model is what its archive says.")


@frozen
class RepositoryEntry:
    """
    A model of the index.

    :param version: empty for one that is not loaded: its archive is closed.
    :param reason: why it is in this state; empty for one that is ready.
    """

    name: str
    version: str
    state: RepositoryState
    reason: str = ""


@frozen(eq=False)
class ModelRepository:
    """
    Lists, loads and unloads models by name.

    :param store: the model store, or None if the operator has set none.
    """

    management: Management
    store: Path | None

    async def index(self, only_ready: bool = False) -> Sequence[RepositoryEntry]:
        """
        Return every version that is registered, and every model of the store that is not, by name.

        :param only_ready: leave out what cannot be asked now.
        """
        registry = self.management.registry
        lying = {} if only_ready else await self.management.preparer.in_thread(models_in, self.store)
        versions = [version for version in registry.all() if version.spec.url]
        used = {_file_of(version.spec.url) for version in versions}
        entries = [_entry(version) for version in versions]
        entries += [
            RepositoryEntry(name, "", RepositoryState.UNAVAILABLE, UNLOADED)
            for name, url in lying.items()
            if not registry.has(name) and _file_of(url) not in used
        ]
        wanted = (entry for entry in entries if entry.state is RepositoryState.READY or not only_ready)
        return sorted(wanted, key=lambda entry: (entry.name, entry.version))

    async def load(self, name: str) -> None:
        """
        Have a worker of a model, and wait until it is there; a model that has one stays as it is.

        :raises StoreNotConfigured: there is no model store.
        :raises ModelNotFound: the store has no such model, and none is registered.
        :raises WorkersFailed: no worker can start; a model that was not registered before is not, either.
        :raises Unregistered: it was unloaded meanwhile.
        :raises ServingError: the archive breaks a rule, or there is too little memory.
        """
        registry = self.management.registry
        if not registry.has(name):
            await self._register(name)
        if not registry.has(name):  # somebody else has unloaded it meanwhile
            raise Unregistered(name)
        version = registry.get(name)
        if not version.pool.ready:
            bounds = version.bounds
            least = max(1, bounds.minimum)
            await self.management.scale(
                ScaleRequest(name, minimum=least, maximum=max(least, bounds.maximum), synchronous=True)
            )
            if not self.management.is_served(version):
                raise Unregistered(name)

    async def unload(self, name: str) -> None:
        """
        Unregister every version of a model; one of the store that is not registered stays as it is.

        :raises StoreNotConfigured: there is no model store, and no such model is registered.
        :raises ModelNotFound: there is no such model anywhere.
        :raises ModelInUse: a workflow needs it; nothing has changed.
        :raises DrainTimedOut: its workers do not end.
        """
        registry = self.management.registry
        if not registry.has(name):
            await self._locate(name)
            return
        versions = registry.versions(name)
        for version in versions:
            if workflows := self.management.needed_by(version):
                raise ModelInUse(name, version.spec.version, tuple(workflows))
        for version in sorted(versions, key=registry.is_default):  # the default one can only go last
            if self.management.is_served(version):  # else somebody else is unloading it, too
                await self.management.unregister(name, version.spec.version)

    async def _register(self, name: str) -> None:
        url = await self._locate(name)
        # A model that the API registers has no workers by default, and could not be asked.
        overrides = VersionOverrides(
            initial_workers=max(1, self.management.preparer.defaults.startup_workers)
        )
        try:
            await self.management.register(RegisterRequest(url, name=name, overrides=overrides))
        except VersionExists:
            if not self.management.registry.has(name):  # else somebody else was faster
                raise

    async def _locate(self, name: str) -> str:
        if self.store is None:
            raise StoreNotConfigured()
        url = await self.management.preparer.in_thread(locate, self.store, name)
        if url is None:
            raise ModelNotFound(name)
        return url


def _file_of(url: str) -> str:
    """Return what tells archives apart: a path as it is; of anything else the last segment names a file."""
    return url if url.startswith("/") else url.partition("?")[0].rstrip("/").rpartition("/")[2]


def _entry(version: ModelVersion) -> RepositoryEntry:
    spec, pool = version.spec, version.pool
    if pool.ready:
        state, reason = RepositoryState.READY, ""
    elif pool.healthy:
        state, reason = RepositoryState.LOADING, "its workers are loading it"
    else:
        reason = "its workers have failed" if pool.workers else "it has no workers"
        state = RepositoryState.UNAVAILABLE
    return RepositoryEntry(spec.name, spec.version, state, reason)
