"""The use cases of management: register, scale, describe, list, set the default version, unregister."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve, field
from twisted.internet.defer import CancelledError, Deferred, DeferredList, TimeoutError, succeed
from twisted.logger import Logger

from modelserver.core.providers import CoreProviders
from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion, new_version
from modelserver.errors import DrainTimedOut, ServingError, Unregistered, VersionExists, WorkersFailed
from modelserver.inference.health import is_model_ready
from modelserver.language.attributes import define
from modelserver.management.descriptions import Observer, describe_version
from modelserver.management.handler_metadata import HandlerMetadata
from modelserver.management.recorded import fetched, recorded
from modelserver.management.registration import PreparedVersion, VersionPreparer
from modelserver.management.requests import RegisterRequest, ScaleRequest
from modelserver.management.rules import ManagementRules
from modelserver.management.scaling import more_on_gpus, rescale
from modelserver.management.version_files import VersionFiles
from modelserver.spec import AWAY, ModelSummary, VersionDescription, VersionSpec
from modelserver.traces import Trace
from modelserver.version_settings.values import WorkerRange
from modelserver.workflows.errors import ModelInUse

_log = Logger()


@define(eq=False)
class Management:
    """
    The use cases of management. Each one succeeds whole or changes nothing, also beside concurrent calls.

    :param changed: called after each change, for snapshots; callers wait until one is written.
    :param needed_by: the workflows that a version may not leave.
    :param follow: is told a version whose way to its number of workers may have changed, before it is scaled.
    """

    registry: Registry
    preparer: VersionPreparer
    providers: CoreProviders
    observer: Observer
    handler_metadata: HandlerMetadata
    rules: ManagementRules = field(factory=ManagementRules)
    changed: Callable[[], Deferred[None]] = lambda: succeed(None)
    needed_by: Callable[[ModelVersion], Sequence[str]] = lambda version: ()
    follow: Callable[[ModelVersion], object] = lambda version: None
    files: VersionFiles = field(init=False)
    _leaving: set[tuple[str, str]] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        self.files = VersionFiles(self.preparer)

    # Changes.

    async def register(self, request: RegisterRequest) -> VersionSpec:
        """
        Register a version of an archive and start its first workers.

        A version of which all workers have given up makes room for its new registration. A request that
        waits for its workers and does not get them leaves nothing registered.

        :raises BadRequest: the caller asks for too many workers.
        :raises VersionExists: this version is registered already.
        :raises MemoryShort: there is too little memory for its workers.
        :raises WorkersFailed: the caller waits, and no worker can start.
        :raises NoWorkers: the caller waits, and the server stops.
        :raises ServingError: the archive cannot be fetched, or breaks a rule.
        """
        if not request.start_up:  # else the operator wants them
            self.rules.check_workers(request.overrides.initial_workers or 0, "initial_workers")
        with recorded(self.providers.tracer, "register") as trace:
            prepared = await self.preparer.prepare(request)
            fetched(trace, "modelserver.model.name", prepared.spec.name)
            spec = await self.serve(prepared, request, trace)
        await self.changed()
        return spec

    async def serve(
        self, prepared: PreparedVersion, request: RegisterRequest, trace: Trace | None = None
    ) -> VersionSpec:
        """
        Serve a version that is prepared, which is ours from now on, and start its first workers.

        :param trace: what the starts of its workers are parts of.
        :raises VersionExists: this version is registered already.
        :raises WorkersFailed: the caller waits, and no worker can start.
        """
        spec = prepared.spec
        version = new_version(spec, self.providers)
        try:
            was_default = await self._clear_failed(spec)
            self._add(version)
            if was_default:
                self.registry.set_default(spec.name, spec.version)
        except ServingError:
            await self.preparer.discard(prepared, request.is_kept)
            raise
        self.files.keep(version, prepared)
        self.follow(version)
        try:
            await self._claim(version, spec.workers.minimum)
            if trace is None:
                version.pool.scale(spec.workers.minimum, spec.workers.maximum)
            else:
                trace.run(version.pool.scale, spec.workers.minimum, spec.workers.maximum)
            if request.synchronous and spec.workers.minimum > 0:
                await self.preparer.awaited.workers_of(version)
        except (ServingError, CancelledError):
            await self._undo(version)
            raise
        return spec

    async def know(self, request: RegisterRequest) -> ModelVersion:
        """
        Serve a version whose archive is only looked at; it has no workers, and is unpacked for the first.

        :raises VersionExists: this version is registered already.
        :raises ServingError: the archive is not there, or breaks a rule.
        """
        version = new_version(await self.preparer.look(request), self.providers)
        self._add(version)
        self.files.know(version, request)
        await self.changed()
        return version

    async def scale(self, request: ScaleRequest) -> bool:
        """
        Change the number of workers.

        :return: whether all wanted workers are there; always true if the caller does not wait.
        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        :raises BadRequest: they are too many.
        :raises NotEnoughDevices: a worker needs more GPUs than there are.
        :raises MemoryShort: there is too little memory for them.
        :raises WorkersFailed: the caller waits, and no worker can start.
        """
        version = self.registry.get(request.name, request.version)
        self.rules.check_workers(request.minimum, "min_worker")
        await self.files.open(version)
        await self._claim(version, request.minimum, request.gpu_workers)
        pool = version.pool
        rescale(version, request, self.rules.usual_ceiling, self.follow)
        await self.changed()
        if not request.synchronous:
            return True
        try:
            await self.preparer.awaited.workers_of(version)
        except WorkersFailed as error:
            if pool.ready:
                return False
            raise WorkersFailed(request.name, request.version, error.failure) from error
        return True

    def resize(self, version: ModelVersion, workers: int) -> None:
        """
        Have another number of workers, as the server has decided; nobody has asked for it, so none is kept.

        Workers that gave up stay as they are.

        :raises NotEnoughDevices: a worker needs more GPUs than there are.
        """
        if self.is_served(version):
            version.pool.scale(workers, workers, revives=False)

    async def unregister(self, name: str, version: str | None = None, keeps_download: bool = False) -> None:
        """
        Unregister a version: fail its waiting jobs, end its workers, remove its files.

        :param keeps_download: leave a downloaded archive in the model store.
        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        :raises DefaultVersionInUse: the version is the default while others exist.
        :raises ModelInUse: a workflow needs it.
        :raises DrainTimedOut: the workers do not end; the version is registered again, without workers.
        """
        found = self.registry.get(name, version)
        workflows = self.needed_by(found)
        if workflows:
            raise ModelInUse(name, found.spec.version, tuple(workflows))
        removed = self.registry.remove(name, version)
        await self._end(removed, self.rules.unregister_timeout, keeps_download)
        _log.info("Model {model} unregistered.", model=name)
        await self.changed()

    async def withdraw(self, name: str, version: str, drain: float, keeps_download: bool = False) -> None:
        """
        Unregister a version, be it the default while others exist; one that is gone is no error.

        :param drain: seconds that its workers have for the jobs they hold.
        :param keeps_download: leave a downloaded archive in the model store.
        :raises DrainTimedOut: the workers do not end; the version is registered again, without workers.
        """
        for found in self.registry.versions(name) if self.registry.has(name) else ():
            if found.spec.version == version:
                self._withdraw(found)
                await self._end(found, drain, keeps_download)

    async def set_default(self, name: str, version: str) -> None:
        """
        Make a version the one that serves requests which name none.

        :raises ModelNotFound: no model has this name.
        :raises NoSuchVersionToDefault: the model has no such version.
        """
        self.registry.set_default(name, version)
        await self.changed()

    async def close(self, drain: float = 0.0, keeps_downloads: bool = False) -> None:
        """
        Unregister all versions at once, for the end of the server.

        :param drain: seconds that requests in hand may take.
        :param keeps_downloads: archives that were downloaded stay in the store, for a snapshot names them.
        """
        versions = self.registry.all()
        for version in versions:
            self._withdraw(version)
        ends = [Deferred.fromCoroutine(self._end(version, drain, keeps_downloads)) for version in versions]
        for _, why in await DeferredList(ends, consumeErrors=True):
            if why is not None:
                _log.error("A version could not be ended: {why}", why=why)

    # Questions.

    async def describe(self, name: str, version: str | None = None) -> VersionDescription:
        """
        Describe a version, the default one unless ``version`` names another.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        """
        (description,) = await self._describe([self.registry.get(name, version)])
        return description

    async def describe_all(self, name: str) -> Sequence[VersionDescription]:
        """
        Describe every version of a model.

        :raises ModelNotFound: no model has this name.
        """
        return await self._describe(self.registry.versions(name))

    async def describe_customized(
        self, name: str, version: str | None = None, head: bytes = b""
    ) -> VersionDescription:
        """
        Describe a version, with the metadata that its handler returns.

        :param head: the client's header lines, for the handler.
        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        :raises DescribeUnavailable: no worker can take the request.
        :raises InternalError: the handler fails, or does not answer in time.
        """
        found = self.registry.get(name, version)
        metadata = await self.handler_metadata.ask(found, head)
        (description,) = await self._describe([found])
        return evolve(description, metadata=metadata)

    async def _describe(self, versions: Sequence[ModelVersion]) -> list[VersionDescription]:
        facts = await self.observer.look(versions)
        memory = self.providers.memory
        return [
            evolve(
                describe_version(version, self.registry.is_default(version), facts),
                memory={} if memory is None else memory.figures(version.spec),
            )
            for version in versions
        ]

    def list(self, limit: int, offset: int) -> tuple[Sequence[ModelSummary], str | None]:
        """Return at most ``limit`` models from ``offset`` on, by name, and the next page's token or None."""
        # As in TorchServe, versions without a URL, which are functions of workflows, are not listed.
        models = [model for name in self.registry.names() if (model := self.registry.get(name)).spec.url]
        page = [
            ModelSummary(model.spec.name, model.spec.url, model.presence)
            for model in models[offset : offset + limit]
        ]
        has_more = limit > 0 and offset + limit < len(models)
        return page, str(offset + limit) if has_more else None

    def is_ready(self, name: str) -> bool:
        """
        Return whether a worker of the default version has loaded the model.

        :raises ModelNotFound: no model has this name.
        """
        return is_model_ready(self.registry, name)

    # Steps.

    async def _claim(self, version: ModelVersion, workers: int, on_gpus: int | None = None) -> None:
        """
        Wait until a version may have so many workers; scale it before anything else is awaited.

        :param on_gpus: how many of the workers have a GPU at most; None: as the version's settings say.
        :raises MemoryShort: there is too little memory for them.
        :raises Unregistered: the version was unregistered meanwhile.
        """
        if (memory := self.providers.memory) is not None:
            more = workers - len(version.pool.workers)
            await memory.claim(version.spec, more, on_gpus=more_on_gpus(version, on_gpus))
            if not self.is_served(version):
                raise Unregistered(version.spec.name)

    def _add(self, version: ModelVersion) -> None:
        name, number = version.spec.name, version.spec.version
        is_second = self.rules.one_version and name in self.registry.names()
        if is_second or (name, number) in self._leaving:
            raise VersionExists(name, number)
        self.registry.add(version)
        _log.info("Model {model} loaded. Version {version}.", model=name, version=number)

    async def _clear_failed(self, spec: VersionSpec) -> bool:
        """Remove the version if it is not in memory, or cannot serve; return whether it was the default."""
        found = self.registry.versions(spec.name) if self.registry.has(spec.name) else []
        for version in found:
            pool = version.pool
            if version.spec.version != spec.version or version.spec.workflow != spec.workflow:
                continue  # a node of a workflow goes with its workflow only
            if version.presence in AWAY or (pool.workers and not pool.healthy):
                was_default = self.registry.is_default(version)
                self._withdraw(version)
                await self._end(version, 0.0)
                return was_default
        return False

    async def _undo(self, version: ModelVersion) -> None:
        """Unregister a version whose registration failed, unless another call did so meanwhile."""
        if not self.is_served(version):
            return
        self._withdraw(version)
        try:
            await self._end(version, 0.0)
        except DrainTimedOut:
            _log.error("Workers of {name} do not end", name=version.spec.name)

    def is_served(self, version: ModelVersion) -> bool:
        """Return whether a version is in the registry."""
        return self.registry.has_version(version)

    def _withdraw(self, version: ModelVersion) -> None:
        """Take a version out of the registry, also if the version is the default while others exist."""
        name, number = version.spec.name, version.spec.version
        others = [other for other in self.registry.versions(name) if other is not version]
        if others and self.registry.is_default(version):
            self.registry.set_default(name, others[0].spec.version)
        self.registry.remove(name, number)

    async def _end(self, version: ModelVersion, drain: float, keeps_download: bool = False) -> None:
        """
        End the workers of a version that is out of the registry, and remove its files.

        Its name and number stay taken meanwhile, for its workers and its template still go by them.
        """
        spec = version.spec
        key = spec.name, spec.version
        self._leaving.add(key)
        gone = Unregistered(spec.name)
        version.queue.close(gone)
        version.queue.fail_all(gone)
        try:
            closed = version.pool.close(drain)
            # Past the drain come TERM, the grace, and KILL.
            await closed.addTimeout(drain + 2 * spec.timeouts.grace, self.providers.clock)
        except TimeoutError:
            self._leaving.discard(key)
            self._put_back(version)
            raise DrainTimedOut(spec.name) from None
        self.providers.backend.retire(spec.name, spec.version)
        self.providers.recorder.version_gone(spec.name, spec.version)
        await self.files.discard(version, keeps_download)
        self._leaving.discard(key)

    def _put_back(self, version: ModelVersion) -> None:
        """Register a version without workers, so that it can be unregistered again."""
        spec = evolve(version.spec, workers=WorkerRange())
        again = new_version(spec, self.providers)
        self.files.hand_on(version, again)
        self.registry.add(again)
