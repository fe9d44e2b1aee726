"""Prepares a workflow for its registration: fetches and opens the archive, and checks what it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import field
from twisted.logger import Logger

from modelserver.archive.names import RULE, is_name
from modelserver.archive.unpack import DEFAULT_LIMITS, UnpackLimits, remove, unpack
from modelserver.archive.workflow import WorkflowContent, read_workflow
from modelserver.archive.workflow_spec import DEFAULT_SPEC_LIMITS, SpecLimits
from modelserver.errors import ArchiveInvalid, ArchiveNotFound, StoreNotConfigured, UrlInvalid
from modelserver.interfaces import InThread
from modelserver.language.attributes import frozen
from modelserver.management.awaited import Awaited
from modelserver.management.workflows.requests import WorkflowRequest
from modelserver.sources.digest import Sha256
from modelserver.sources.router import Fetched, Sources
from modelserver.sources.urls import is_remote
from modelserver.workflows.errors import WorkflowArchiveNotFound, WorkflowInvalid, WorkflowStoreMissing

_log = Logger()


def model_name(workflow: str, node: str) -> str:
    """Return the name that a node's model is served by, as in TorchServe."""
    return f"{workflow}__{node}"


@frozen
class PreparedWorkflow:
    """A workflow that can be registered: what its archive holds, and the files that it owns."""

    name: str
    content: WorkflowContent
    folder: Path
    fetched: Fetched


@frozen
class WorkflowPreparer:
    """
    Fetches and opens archives of workflows; a failure leaves no files behind.

    :param sources: with the workflow store as their store.
    :param folder: where archives are unpacked; each gets a folder of its own.
    :param new_name: names for those folders, never the same twice.
    :param awaited: ends the wait for downloads when the server stops.
    """

    sources: Sources
    in_thread: InThread
    folder: Path
    new_name: Callable[[], str]
    limits: UnpackLimits = DEFAULT_LIMITS
    spec_limits: SpecLimits = DEFAULT_SPEC_LIMITS
    awaited: Awaited = field(factory=Awaited)

    async def prepare(self, request: WorkflowRequest) -> PreparedWorkflow:
        """
        Prepare a workflow; the caller owes the result to ``discard``.

        :raises ServingError: the archive cannot be fetched, or breaks a rule.
        """
        check = None if request.sha256 is None else Sha256.parse(request.sha256).check
        fetched = await self._fetch(request)
        try:
            if not await self.in_thread(fetched.path.is_file):
                raise WorkflowArchiveNotFound(request.url, f"Workflow not found at: {request.url}")
            folder = self.folder / self.new_name()
            try:
                await self.in_thread(unpack, fetched.path, folder, self.limits, check)
            except ArchiveInvalid as error:
                raise WorkflowInvalid(str(error)) from error
            try:
                content = await self.in_thread(read_workflow, folder, self.spec_limits)
                name = request.name or content.manifest.name
                _check_names(name, content)
            except BaseException:
                await self._remove(folder)
                raise
        except BaseException:
            await self.sources.release(fetched, keeps_download=request.is_kept(request.url))
            raise
        for problem in content.problems:
            _log.warn("Workflow {name}: {problem}", name=name, problem=problem)
        return PreparedWorkflow(name, content, folder, fetched)

    async def discard(self, prepared: PreparedWorkflow, keeps_download: bool = False) -> None:
        """Remove the unpacked files, and the download if no other workflow uses it. Never fails."""
        await self._remove(prepared.folder)
        await self.sources.release(prepared.fetched, keeps_download)

    async def _fetch(self, request: WorkflowRequest) -> Fetched:
        """Fetch the archive; what is not found is told in TorchServe's words for workflows."""
        if is_remote(request.url) and not request.url.lower().startswith(("http:", "https:")):
            raise WorkflowArchiveNotFound(request.url)
        try:
            if request.is_kept(request.url):
                return await self.sources.adopt(request.url)
            fetching = self.sources.fetch(request.url, request.signed, anywhere=request.start_up)
            return await self.awaited.of(fetching, request.name or request.url)
        except StoreNotConfigured as error:
            raise WorkflowStoreMissing() from error
        except UrlInvalid:
            raise
        except ArchiveNotFound as error:
            reason = error.reason if request.url else "Workflow not found at: "
            raise WorkflowArchiveNotFound(request.url, reason) from error

    async def _remove(self, folder: Path) -> None:
        try:
            await self.in_thread(remove, folder)
        except OSError:
            _log.failure("The folder {folder} of a workflow stays on disk", folder=str(folder))


def _check_names(name: str, content: WorkflowContent) -> None:
    """Check that the workflow, and the models of its nodes, may have the names that they would have."""
    if not is_name(name):
        raise WorkflowInvalid(f"Workflow name {name[:255]!r} is not allowed: it must be {RULE}")
    for node in content.spec.nodes.values():
        model = model_name(name, node.name)
        if node.model is None and not is_name(model):
            raise WorkflowInvalid(f"Model name {model[:255]!r} is not allowed: it must be {RULE}")
