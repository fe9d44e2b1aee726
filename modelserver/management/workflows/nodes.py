"""Registers the models of a workflow's nodes: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import field
from twisted.internet.defer import Deferred, DeferredList, DeferredSemaphore
from twisted.logger import Logger

from modelserver.archive.manifest import DEFAULT_VERSION, Manifest
from modelserver.errors import InternalError, ServingError
from modelserver.language.attributes import define
from modelserver.management.recorded import fetched, recorded
from modelserver.management.registration import PreparedVersion
from modelserver.management.requests import RegisterRequest, VersionOverrides
from modelserver.management.service import Management
from modelserver.management.version_spec import OpenedArchive
from modelserver.management.workflows.preparation import PreparedWorkflow, model_name
from modelserver.management.workflows.requests import WorkflowRequest
from modelserver.sources.urls import is_remote
from modelserver.traces import Trace
from modelserver.workflows.errors import NodeNotRegistered, WorkflowFailed
from modelserver.workflows.spec import Node, NodeModel

_log = Logger()


@define(eq=False)
class NodeRegistration:
    """
    The registration of one workflow's nodes.

    :param parallelism: how many nodes load at the same time.
    :param trace: what the registrations are parts of.
    """

    models: Management
    prepared: PreparedWorkflow
    request: WorkflowRequest
    parallelism: int = 4
    trace: Trace | None = None
    _done: dict[str, NodeModel] = field(factory=dict, init=False)
    _failures: list[NodeNotRegistered] = field(factory=list, init=False)

    async def run(self) -> Mapping[str, NodeModel]:
        """
        Register all nodes; nodes that have not begun when another one fails are left out.

        :return: what each node calls, in the order of the graph.
        :raises BadRequest: a node asks for too many workers.
        :raises WorkflowFailed: a node failed; the others are unregistered again.
        """
        nodes = self.prepared.content.spec.nodes
        for node in nodes.values():
            if not self.request.start_up:  # else the operator wants them
                self.models.rules.check_workers(node.settings.max_workers, f"models.{node.name}.max-workers")
        turns = DeferredSemaphore(max(1, self.parallelism))
        await DeferredList([turns.run(self._begin, node) for node in nodes.values()])
        self._check_references(nodes.values())
        if self._failures:
            await withdraw_nodes(self.models, self._done, nodes, drain=0.0)
            raise WorkflowFailed(self.prepared.name, tuple(self._failures))
        return {name: self._done[name] for name in nodes}

    def _begin(self, node: Node) -> Deferred[None]:
        return Deferred.fromCoroutine(self._register(node))

    async def _register(self, node: Node) -> None:
        if self._failures:
            return
        try:
            self._done[node.name] = await self._serve(node)
        except ServingError as error:
            self._fail(node, error)
        except Exception:
            _log.failure("The node {node} of workflow {name}", node=node.name, name=self.prepared.name)
            self._fail(node, InternalError())

    def _fail(self, node: Node, cause: ServingError) -> None:
        model = model_name(self.prepared.name, node.name)
        self._failures.append(NodeNotRegistered(node.name, model, cause))

    async def _serve(self, node: Node) -> NodeModel:
        if node.model is not None:
            self.models.registry.get(node.model.name, node.model.version)
            return node.model
        wanted = self._wanted(node)
        with recorded(self.models.providers.tracer, "register", self.trace) as trace:
            if node.url is not None:
                prepared = await self.models.preparer.prepare(wanted)
            else:
                prepared = self._prepare_function(node, wanted)
            fetched(trace, "modelserver.model.name", prepared.spec.name)
            spec = await self.models.serve(prepared, wanted, trace)
        return NodeModel(spec.name, spec.version)

    def _wanted(self, node: Node) -> RegisterRequest:
        """Return the registration of a node's model; as in TorchServe, all of its workers are started."""
        settings, url = node.settings, node.url or ""
        least, most = self.request.workers.get(node.name, (settings.max_workers, settings.max_workers))
        values = {
            **self.request.settings,
            "min_workers": least,
            "max_workers": most,
            "batch_size": settings.batch_size,
            "max_batch_delay": settings.max_batch_delay,
            **self.request.scaling.get(node.name, {}),
        }
        return RegisterRequest(
            url=url,
            name=model_name(self.prepared.name, node.name),
            overrides=VersionOverrides(settings=values),
            synchronous=self.request.synchronous,
            signed=self.request.signed and is_remote(url),
            start_up=self.request.start_up,
            is_kept=self.request.is_kept(url),
            version=self.prepared.content.spec.version,
            workflow=self.prepared.name,
        )

    def _prepare_function(self, node: Node, wanted: RegisterRequest) -> PreparedVersion:
        """Return a version that runs a function of the workflow's own archive, in its folder."""
        name, manifest = wanted.name or "", self.prepared.content.manifest
        found = OpenedArchive(
            name=name,
            version=wanted.version or DEFAULT_VERSION,
            url="",
            folder=self.prepared.folder,
            manifest=Manifest(
                model_name=name, handler=f"{manifest.handler}:{node.function}", raw=manifest.raw
            ),
        )
        return PreparedVersion(self.models.preparer.resolve(found, wanted, {}), None)

    def _check_references(self, nodes: Iterable[Node]) -> None:
        """Look again whether the models of others are there: they may have gone while ours were loading."""
        for node in nodes:
            if node.model is not None and node.name in self._done:
                try:
                    self.models.registry.get(node.model.name, node.model.version)
                except ServingError as error:
                    self._fail(node, error)


async def withdraw_nodes(
    models: Management,
    called: Mapping[str, NodeModel],
    nodes: Mapping[str, Node],
    drain: float,
    keeps_downloads: bool = False,
) -> list[str]:
    """
    Unregister the models of a workflow's nodes, all at once; those of others stay.

    :param called: what each node calls.
    :param drain: seconds that workers have for the jobs they hold.
    :return: why models are still there.
    """
    ends = [
        Deferred.fromCoroutine(models.withdraw(each.name, each.version or "", drain, keeps_downloads))
        for name, each in called.items()
        if nodes[name].model is None
    ]
    why: list[str] = []
    for end in ends:
        end.addErrback(lambda failure: why.append(failure.getErrorMessage()))
    await DeferredList(ends)
    return why
