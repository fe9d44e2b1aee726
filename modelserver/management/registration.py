"""Prepares a version for its registration: fetches and opens the archive, and resolves the spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from modelserver.archive.manifest import ManifestRules, complete, known_runtime, model_config, read_manifest
from modelserver.archive.model_config import read_model_config
from modelserver.archive.names import RULE, is_name
from modelserver.archive.sizes import archive_size
from modelserver.archive.unpack import DEFAULT_LIMITS, UnpackLimits, open_archive, open_documents, remove
from modelserver.errors import ArchiveInvalid
from modelserver.interfaces import InThread
from modelserver.language.attributes import frozen
from modelserver.management.awaited import Awaited
from modelserver.management.dependencies import Dependencies
from modelserver.management.models_json import VersionPreset
from modelserver.management.requests import RegisterRequest
from modelserver.management.unsupported_settings import unsupported_settings
from modelserver.management.version_spec import OpenedArchive, VersionDefaults, resolve_version_spec
from modelserver.sources.digest import Sha256
from modelserver.sources.router import Fetched, Sources
from modelserver.spec import VersionSpec

_log = Logger()


@frozen
class PreparedVersion:
    """
    A version that can be registered: its spec, and the files that it owns.

    :param fetched: None for one that runs in a folder of somebody else's, and owns nothing.
    """

    spec: VersionSpec
    fetched: Fetched | None


@frozen
class VersionPreparer:
    """
    Fetches and opens archives and resolves specs; a failure leaves no files behind.

    :param folder: where archives are unpacked; each gets a folder of its own.
    :param new_name: names for those folders, never the same twice.
    :param models: the ``models`` JSON of the configuration.
    :param awaited: ends downloads, and installations of requirements, when the server stops.
    """

    sources: Sources
    in_thread: InThread
    folder: Path
    new_name: Callable[[], str]
    rules: ManifestRules = field(factory=ManifestRules)
    defaults: VersionDefaults = field(factory=VersionDefaults)
    models: Mapping[str, Mapping[str, VersionPreset]] = field(factory=dict)
    limits: UnpackLimits = DEFAULT_LIMITS
    dependencies: Dependencies | None = None
    awaited: Awaited = field(factory=Awaited)

    async def prepare(self, request: RegisterRequest) -> PreparedVersion:
        """
        Prepare a version; the caller owes the result to ``discard``.

        :raises ServingError: the archive cannot be fetched, or breaks a rule.
        """
        if request.overrides.runtime is not None:
            known_runtime(request.overrides.runtime)  # nothing is fetched for a registration that cannot be
        check = None if request.sha256 is None else Sha256.parse(request.sha256).check
        fetched = await self._fetch(request)
        try:
            target = self.folder / self.new_name()
            folder = await self.in_thread(
                open_archive, fetched.path, target, self.limits, self.rules.wrapped_folders, check
            )
            try:
                spec = await self.in_thread(self._decide, request, folder, fetched.path)
                if self.dependencies is not None:
                    satisfied = Deferred.fromCoroutine(self.dependencies.satisfy(spec))
                    spec = await self.awaited.of(satisfied, spec.name, spec.version)
            except BaseException:
                await self._remove(folder)
                raise
        except BaseException:
            await self.sources.release(fetched, keeps_download=request.is_kept)
            raise
        return PreparedVersion(spec, fetched)

    async def look(self, request: RegisterRequest) -> VersionSpec:
        """
        Resolve the spec of an archive without opening it: ``prepare`` will, into another folder.

        :raises ServingError: the archive is not there, or breaks a rule, as far as its documents tell.
        """
        fetched = await self._fetch(request)
        try:
            target = self.folder / self.new_name()
            folder = await self.in_thread(
                open_documents, fetched.path, target, self.limits, self.rules.wrapped_folders
            )
            try:
                return await self.in_thread(self._decide, request, folder, fetched.path)
            finally:
                await self._remove(folder)
        finally:
            await self.sources.release(fetched, keeps_download=True)

    async def _fetch(self, request: RegisterRequest) -> Fetched:
        if request.is_kept:
            return await self.sources.adopt(request.url)
        # The operator has written the URL of a workflow of the start, not those of its nodes.
        anywhere = request.start_up and request.workflow is None
        fetching = self.sources.fetch(request.url, request.signed, anywhere=anywhere)
        return await self.awaited.of(fetching, request.name or request.url)

    async def discard(self, prepared: PreparedVersion, keeps_download: bool = False) -> None:
        """Remove the unpacked files, and the download if no other version uses it. Never fails."""
        if prepared.fetched is None:
            return
        await self._remove(prepared.spec.folder)
        await self.sources.release(prepared.fetched, keeps_download)

    async def _remove(self, folder: Path) -> None:
        try:
            await self.in_thread(remove, folder)
        except OSError:
            _log.failure("The model folder {folder} stays on disk", folder=str(folder))

    def _decide(self, request: RegisterRequest, folder: Path, archive: Path) -> VersionSpec:
        """Read the manifest and model-config, and resolve the spec. Blocks."""
        overrides = request.overrides
        manifest = read_manifest(folder, self.rules, overrides.runtime)
        given_name = request.name or (request.fallback_name if manifest.model_name is None else None)
        manifest = complete(manifest, self.rules, given_name, overrides.handler)
        found = OpenedArchive(
            name=manifest.model_name or "",
            version=request.version or manifest.model_version,
            url=request.url,
            folder=folder,
            manifest=manifest,
        )
        spec = self.resolve(found, request, model_config(folder, manifest))
        return evolve(spec, archive_size=archive_size(archive))

    def resolve(
        self, found: OpenedArchive, request: RegisterRequest, config: Mapping[str, object]
    ) -> VersionSpec:
        """
        Decide everything about a version that is open.

        :param config: its ``model-config.yaml``, as it was read.
        :raises ArchiveInvalid: a name is not allowed, or something in the archive is not.
        :raises NotEnoughDevices: each worker needs more GPUs than there are.
        """
        name, version = found.name, found.version
        _check_name("name", name)
        _check_name("version", version)
        settings, problems = read_model_config(config, self.defaults.number_of_gpu)
        spec = resolve_version_spec(
            found=found,
            overrides=request.overrides,
            model_config=settings,
            preset=self.models.get(name, {}).get(version, VersionPreset()),
            defaults=self.defaults,
            start_up=request.start_up,
        )
        for problem in (*problems, *unsupported_settings(spec)):
            _log.warn(
                "Model {name} version {version}: {problem}", name=name, version=version, problem=problem
            )
        if request.workflow is None:
            return spec
        return evolve(spec, workflow=request.workflow, loaded_at_startup=False)


def _check_name(what: str, text: str) -> None:
    if not is_name(text):
        raise ArchiveInvalid(f"Model {what} {text[:255]!r} is not allowed: it must be {RULE}")
