"""A request to a workflow: from the inputs of any front to a run."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from weakref import WeakKeyDictionary

from attrs import evolve, field
from twisted.internet.defer import Deferred, succeed

from modelserver.errors import NoWorkers, QueueFull
from modelserver.execution.admission import refusal_of
from modelserver.execution.answers import TRACE
from modelserver.execution.outcomes import outcome_of
from modelserver.execution.plan import Plan, PlannedNode, make_plan
from modelserver.execution.run import RunServices, WorkflowRun
from modelserver.execution.tensors import with_reply
from modelserver.inference.health import is_model_ready
from modelserver.inference.metadata import ModelMetadata, model_metadata
from modelserver.inference.predict import Inference
from modelserver.jobs import Inputs, Job, ResponseObserver, request_of
from modelserver.language.attributes import define, frozen
from modelserver.protocol.frames import BARE
from modelserver.protocol.header_block import header_values
from modelserver.workflows.registry import WorkflowRegistry
from modelserver.workflows.spec import Workflow


@define(eq=False)
class WorkflowInference:
    """
    Runs workflows, and knows which runs are in progress.

    ``predict`` is that of ``Inference``: to a front, a workflow is a model. To withdraw the job ends its run.

    :param closed: why no run begins any more, once it is so.
    """

    registry: WorkflowRegistry
    inference: Inference
    services: RunServices
    closed: NoWorkers | None = field(default=None, init=False)
    _plans: WeakKeyDictionary[Workflow, Plan] = field(factory=WeakKeyDictionary, init=False)
    _running: dict[Workflow, int] = field(factory=dict, init=False)
    _waiters: list[tuple[Workflow | None, Deferred[None]]] = field(factory=list, init=False)

    def predict(
        self,
        name: str,
        version: str | None,
        inputs: Inputs,
        observer: ResponseObserver,
        client_timeout: float = 0.0,
    ) -> Job:
        """
        Begin a run; ``observer`` is told what comes of it.

        :param client_timeout: seconds that the client waits; 0: as long as the nodes may take.
        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        :raises ServingError: a node refuses the request.
        """
        workflow = self.registry.get(name, version)
        if self.closed is not None:
            raise evolve(self.closed, model=name)
        inference, services, plan = self.inference, self.services, self._plan(workflow)
        self._check_entry(plan)
        payload = services.store.of_request(inputs.body)
        try:
            inputs = with_reply(inputs, payload.data, plan)
        except Exception:
            payload.drop()
            raise
        header_block = inputs.header_block
        tracer, now = inference.tracer, services.clock.seconds()
        if tracer is not None and tracer.current is not None:
            observer = tracer.current.watch(observer)
        deadline = now + client_timeout if client_timeout else None
        request_id = inference.new_id()
        job = Job(request_of((request_id, header_block, b"", b"", 0, version, now, deadline)), observer)
        run = WorkflowRun(
            plan=plan,
            services=services,
            job=job,
            request=inputs._replace(body=b"", flags=inputs.flags | BARE),
            ended=partial(self._ended, workflow),
            has_trace=_wants_trace(header_block),
        )
        self._running[workflow] = self._running.get(workflow, 0) + 1
        run.start(payload)
        if deadline is not None:
            inference.deadlines.watch(job)
        return job

    def version_named(self, name: str, segment: str | None) -> str | None:
        """Return a segment of a path if it is a version of a workflow that says its version, else None."""
        if segment is None or not self.registry.has(name):
            return None
        versions = (workflow.spec.version for workflow in self.registry.versions(name))
        return segment if segment in versions else None

    def _plan(self, workflow: Workflow) -> Plan:
        plan = self._plans.get(workflow)
        if plan is None:
            plan = self._plans[workflow] = make_plan(workflow, self.services.clock)
        return plan

    def _check_entry(self, plan: Plan) -> None:
        """
        Refuse what a node behind the first could not take, before anybody has worked for it.

        :raises ServingError: such a node refuses the request.
        """
        refused = refusal_of(plan, self.inference.registry.get)
        if refused is not None:
            self._count_refusal(plan, *refused)
            raise refused[1]

    def _count_refusal(self, plan: Plan, node: PlannedNode, error: NoWorkers | QueueFull) -> None:
        recorder, outcome = self.services.recorder, outcome_of(error)
        recorder.refused(node.model, outcome)
        recorder.node_called(plan.workflow, node.name, outcome, None, None)
        recorder.workflow_ended(plan.workflow, outcome, 0.0)

    # What is told about workflows.

    def has(self, name: str) -> bool:
        """Return whether a name is a workflow's, and no model's."""
        return self.registry.has(name) and not self.inference.registry.has(name)

    def metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """
        Return what the Open Inference Protocol tells of a model.

        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        """
        self.registry.get(name, version)
        versions = tuple(workflow.version for workflow in self.registry.versions(name))
        return ModelMetadata(name, versions, "workflow")

    def is_ready(self, name: str, version: str | None = None) -> bool:
        """
        Return whether each node has a worker that has loaded its model.

        :raises WorkflowNotFound: no workflow has this name.
        :raises WorkflowVersionNotFound: the workflow has no such version.
        """
        models, called = self.inference.registry, self.registry.get(name, version).models.values()
        return all(
            models.has(each.name) and is_model_ready(models, each.name, each.version) for each in called
        )

    # Which are in progress.

    def close(self, error: NoWorkers) -> None:
        """Begin no more runs; whoever asks for one from now on is refused with ``error``."""
        self.closed = error

    def runs_of(self, workflow: Workflow | None = None) -> int:
        """Return how many runs of a workflow, or of all, are in progress."""
        return sum(self._running.values()) if workflow is None else self._running.get(workflow, 0)

    def models_in_use(self) -> Collection[str]:
        """Return the names of the models that runs in progress may still call."""
        return {each.name for workflow in self._running for each in workflow.models.values()}

    def when_idle(self, workflow: Workflow | None = None) -> Deferred[None]:
        """
        Fire when no run of a workflow, or of any, is in progress; may be cancelled.

        It is for those who have seen to it that none begins any more.
        """
        if not self.runs_of(workflow):
            return succeed(None)
        waiter: Deferred[None] = Deferred(lambda _: self._waiters.remove(entry))
        entry = (workflow, waiter)
        self._waiters.append(entry)
        return waiter

    def _ended(self, workflow: Workflow) -> None:
        self._running[workflow] -= 1
        if self._running[workflow]:
            return
        del self._running[workflow]
        if self._waiters:
            due = [entry for entry in self._waiters if not self.runs_of(entry[0])]
            self._waiters = [entry for entry in self._waiters if entry not in due]
            for _, waiter in due:
                waiter.callback(None)


def _wants_trace(header_block: bytes) -> bool:
    if TRACE not in header_block.lower():
        return False
    return "true" in [value.lower() for value in header_values(header_block, TRACE.decode())]


@frozen(eq=False)
class AnyInference:
    """
    What is asked under a name that may be a model's or a workflow's; a model goes before a workflow.

    :param workflows: None: there are none.
    """

    models: Inference
    workflows: WorkflowInference | None = None

    def predict(
        self,
        name: str,
        version: str | None,
        inputs: Inputs,
        observer: ResponseObserver,
        client_timeout: float = 0.0,
    ) -> Job:
        """
        Ask the model of this name, or else the workflow; ``observer`` is told what comes of it.

        :param client_timeout: seconds that the client waits; 0: as the settings say.
        :raises ModelNotFound: neither has this name.
        :raises VersionNotFound: the model has no such version.
        :raises ServingError: it is refused.
        """
        asked = self._workflows_of(name) or self.models
        return asked.predict(name, version, inputs, observer, client_timeout)

    def metadata(self, name: str, version: str | None = None) -> ModelMetadata:
        """
        Return what the Open Inference Protocol tells of the model, or else of the workflow.

        :raises ModelNotFound: neither has this name.
        :raises VersionNotFound, WorkflowVersionNotFound: it has no such version.
        """
        workflows = self._workflows_of(name)
        if workflows is None:
            return model_metadata(self.models.registry, name, version)
        return workflows.metadata(name, version)

    def is_ready(self, name: str, version: str | None = None) -> bool:
        """
        Return whether a worker has loaded the model, or else those of each node of the workflow.

        :raises ModelNotFound: neither has this name.
        :raises VersionNotFound, WorkflowVersionNotFound: it has no such version.
        """
        workflows = self._workflows_of(name)
        if workflows is None:
            return is_model_ready(self.models.registry, name, version)
        return workflows.is_ready(name, version)

    def _workflows_of(self, name: str) -> WorkflowInference | None:
        workflows = self.workflows
        return workflows if workflows is not None and workflows.has(name) else None
