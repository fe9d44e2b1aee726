"""The use cases of workflows, each of which succeeds whole or changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field
from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.logger import Logger

from modelserver.core.registry import Registry
from modelserver.core.version import ModelVersion
from modelserver.language.attributes import define, frozen
from modelserver.management.recorded import fetched, recorded
from modelserver.management.service import Management
from modelserver.management.workflows.nodes import NodeRegistration, withdraw_nodes
from modelserver.management.workflows.preparation import PreparedWorkflow, WorkflowPreparer
from modelserver.management.workflows.requests import RegisteredWorkflow, WorkflowRequest
from modelserver.traces import Trace
from modelserver.workflows.errors import WorkflowStays
from modelserver.workflows.registry import WorkflowRegistry
from modelserver.workflows.runs import WorkflowRuns
from modelserver.workflows.spec import Workflow

_log = Logger()


def needed_by(workflows: WorkflowRegistry, models: Registry, version: ModelVersion) -> Sequence[str]:
    """Return the workflows that need a version of a model, those that are being registered included."""
    spec = version.spec
    found = workflows.calling(spec.name, spec.version, models.is_default(version))
    if spec.workflow is not None and workflows.is_reserved(spec.workflow) and spec.workflow not in found:
        return [*found, spec.workflow]
    return found


@frozen
class _Held:
    """What belongs to a workflow that is served: its files, and the registration that it came from."""

    prepared: PreparedWorkflow
    request: WorkflowRequest


@define(eq=False)
class WorkflowManagement:
    """
    The use cases of workflows.

    :param models: registers the models of nodes.
    :param runs: who executes workflows.
    :param changed: called after each change, for snapshots; callers wait until one is written.
    :param parallelism: how many nodes of a workflow load at the same time.
    :param on_registered: called with the name of a workflow that is served from now on.
    """

    registry: WorkflowRegistry
    models: Management
    preparer: WorkflowPreparer
    runs: WorkflowRuns
    changed: Callable[[], Deferred[None]] = lambda: succeed(None)
    parallelism: int = 4
    on_registered: Callable[[str], object] = lambda name: None
    _held: dict[Workflow, _Held] = field(factory=dict, init=False)

    # Changes.

    async def register(self, request: WorkflowRequest) -> Workflow:
        """
        Register a workflow and the models of its nodes, and wait for their workers.

        :raises WorkflowExists: it is registered already, or on its way.
        :raises BadRequest: a node asks for too many workers.
        :raises WorkflowFailed: a node cannot be registered; nothing is left of the others.
        :raises ServingError: the archive cannot be fetched, or breaks a rule.
        """
        with recorded(self.models.providers.tracer, "register workflow") as trace:
            prepared = await self.preparer.prepare(request)
            fetched(trace, "modelserver.workflow.name", prepared.name)
            workflow = await self._serve(prepared, request, trace)
        _log.info(
            "Workflow {name} registered. Version {version}.", name=workflow.name, version=workflow.version
        )
        await self.changed()
        return workflow

    async def _serve(
        self, prepared: PreparedWorkflow, request: WorkflowRequest, trace: Trace | None
    ) -> Workflow:
        try:
            with self.registry.reserved(prepared.name, prepared.content.spec.version):
                registration = NodeRegistration(self.models, prepared, request, self.parallelism, trace)
                called = await registration.run()
                workflow = Workflow(prepared.name, request.url, prepared.content.spec, called)
                self.registry.add(workflow)
                self._held[workflow] = _Held(prepared, request)
                self.on_registered(workflow.name)
        except BaseException:
            await self.preparer.discard(prepared, request.is_kept(request.url))
            raise
        return workflow

    async def unregister(self, name: str, version: str | None = None) -> None:
        """
        Unregister a workflow: let its runs end, then remove its nodes' models and its files.

        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        :raises DefaultWorkflowInUse: the version is the default while others exist.
        :raises WorkflowStays: models of its nodes do not end.
        """
        workflow = self.registry.remove(name, version)
        with self.registry.leaving(workflow):
            drain = self.models.rules.unregister_timeout
            # Runs that take longer fail with the models that they call.
            drain = drain if await self._is_idle(workflow, drain) else 0.0
            stay = await withdraw_nodes(self.models, workflow.models, workflow.spec.nodes, drain)
            held = self._held.pop(workflow)
            await self.preparer.discard(held.prepared)
        if not self.registry.has(name):
            self.models.providers.recorder.workflow_gone(name)
        await self.changed()
        if stay:
            raise WorkflowStays(name, ", ".join(stay))
        _log.info("Workflow {name} unregistered.", name=name)

    async def set_default(self, name: str, version: str) -> Workflow:
        """
        Make a version the one that is meant when none is named; its nodes' models, too.

        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        """
        self.registry.set_default(name, version)
        workflow = self.registry.get(name, version)
        for node in workflow.spec.nodes.values():
            called = workflow.models[node.name]
            if node.model is None and called.version is not None:
                self.models.registry.set_default(called.name, called.version)
        await self.changed()
        return workflow

    async def close(self, keeps_downloads: bool = False) -> None:
        """
        Remove the files of all workflows, for the end of the server; their nodes' models are gone already.

        :param keeps_downloads: archives that were downloaded stay in the store, for a snapshot names them.
        """
        for held in list(self._held.values()):
            await self.preparer.discard(held.prepared, keeps_downloads)
        self._held.clear()

    # Questions.

    def list(self, limit: int, offset: int) -> tuple[Sequence[Workflow], str | None]:
        """Return at most ``limit`` workflows from ``offset`` on, and the next page's token or None."""
        names = self.registry.names()
        page = [self.registry.get(name) for name in names[offset : offset + limit]]
        has_more = limit > 0 and offset + limit < len(names)
        return page, str(offset + limit) if has_more else None

    def registered(self) -> Sequence[RegisteredWorkflow]:
        """Return every version of every workflow, with the registration that it came from."""
        return [
            RegisteredWorkflow(each, self._held[each].request, self.registry.is_default(each))
            for each in self.registry.all()
        ]

    # Steps.

    async def _is_idle(self, workflow: Workflow, seconds: float) -> bool:
        """Wait for the runs that are in progress; return whether they ended in time."""
        try:
            await self.runs.when_idle(workflow).addTimeout(seconds, self.models.providers.clock)
        except TimeoutError:
            return False
        return True
