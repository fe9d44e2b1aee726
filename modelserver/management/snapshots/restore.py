"""Restores a snapshot: all of its models, or none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from attrs import field
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from modelserver.errors import ArchiveInvalid, ModelNotFound, ServingError, VersionNotFound
from modelserver.inference.load_status import LoadStatus
from modelserver.language.attributes import define, frozen
from modelserver.management.requests import RegisterRequest
from modelserver.management.service import Management
from modelserver.management.snapshots.format import Snapshot, SnapshotVersion
from modelserver.spec import VersionSpec

Result = TypeVar("Result")
_log = Logger()


@frozen
class RestoreFailed(Exception):
    """A snapshot cannot be restored."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@frozen
class _Item:
    name: str
    version: str
    values: SnapshotVersion


def check_archives(snapshot: Snapshot, store: Path | None, workflow_store: Path | None) -> None:
    """
    Check that all archives exist, before anything is registered. Blocks.

    :raises RestoreFailed: an archive is not in the store of models, or in that of workflows.
    """
    for item in _items(snapshot):
        if store is None or not (store / item.values.archive).exists():
            raise RestoreFailed(
                f"Model archive file for model :{item.name}, version :{item.version} not found in model store"
            )
    for name, versions in snapshot.workflows.items():
        for version, values in versions.items():
            if workflow_store is None or not (workflow_store / values.archive).exists():
                raise RestoreFailed(
                    f"Workflow archive file for workflow :{name}, version :{version} "
                    "not found in workflow store"
                )


def _items(snapshot: Snapshot) -> list[_Item]:
    """Return the versions; of each model, the default one first."""
    return [
        _Item(name, version, values)
        for name, versions in snapshot.models.items()
        for version, values in sorted(versions.items(), key=lambda pair: not pair[1].is_default)
    ]


@define(eq=False)
class Restorer:
    """
    Registers the versions of a snapshot.

    :param parallelism: how many versions load at the same time.
    :param know: serves a version that is loaded when it is asked.
    """

    management: Management
    start_up: LoadStatus
    parallelism: int
    know: Callable[[RegisterRequest], Awaitable[VersionSpec]]
    _why: str | None = field(default=None, init=False)
    _done: list[_Item] = field(factory=list, init=False)

    async def restore(self, snapshot: Snapshot) -> bool:
        """
        Restore everything. If one version cannot be registered, none is; workers that fail to load are no
        reason, for they are started again.

        It ends when all are registered; a version has its turn until its workers have loaded it.

        :returns: whether all versions are registered.
        """
        if snapshot.is_empty:
            _log.warn("Model snapshot is empty. Starting TorchServe without initial models.")
            return True
        turns = DeferredSemaphore(max(1, self.parallelism))
        begun = [(item, Deferred[None]()) for item in _items(snapshot)]
        settled = DeferredList([turns.run(self._begin, *each) for each in begun], consumeErrors=True)
        await DeferredList([registered for _, registered in begun])
        if self._why is None:
            return True
        await settled
        _log.error("The snapshot {name} is not restored: {why}", name=snapshot.name, why=self._why)
        await self._undo(self._done)
        for name in snapshot.models:
            self.start_up.failed(name, self._why)
        return False

    def _begin(self, item: _Item, registered: Deferred[None]) -> Deferred[None]:
        def ended(result: Result) -> Result:
            if not registered.called:
                registered.callback(None)
            return result

        return Deferred.fromCoroutine(self._restore(item, registered)).addBoth(ended)

    async def _restore(self, item: _Item, registered: Deferred[None]) -> None:
        if self._why is not None:
            return
        values = item.values
        request = RegisterRequest(
            url=values.url or values.archive,
            name=item.name,
            overrides=values.overrides(),
            synchronous=False,
            start_up=True,
            is_kept=bool(values.url),
        )
        try:
            serve = self.know if values.is_on_request else self.management.register
            spec = await serve(request)
            self._done.append(_Item(spec.name, spec.version, item.values))
            if spec.version != item.version:
                raise ArchiveInvalid(
                    f"{item.values.archive} holds version {spec.version}, not {item.version}, "
                    f"of model {item.name}"
                )
            if item.values.is_default:
                await self.management.set_default(spec.name, spec.version)
            self.start_up.registered(spec.name)
            registered.callback(None)
            await settle(self.management, spec.name, spec.version)
        except ServingError as error:
            self._why = self._why or f"{item.name} {item.version}: {error}"

    async def _undo(self, items: Sequence[_Item]) -> None:
        """Unregister what was restored, the default version last. The snapshot keeps its archives."""
        for item in sorted(items, key=lambda each: each.values.is_default):
            try:
                await self.management.unregister(item.name, item.version, keeps_download=True)
            except ServingError as error:
                _log.error("Model {name} stays: {error}", name=item.name, error=str(error))


async def settle(management: Management, name: str, version: str) -> bool:
    """
    Wait for a version's workers.

    :returns: whether the workers have loaded the model; a failure is logged.
    """
    try:
        await management.registry.get(name, version).pool.when_settled()
    except (ModelNotFound, VersionNotFound):
        return False  # somebody has unregistered it meanwhile
    except ServingError as error:
        _log.error("Model {name} version {version}: {error}", name=name, version=version, error=str(error))
        return False
    return True
