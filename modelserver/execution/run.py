"""One request to a workflow: which nodes run when, and what becomes of their answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from modelserver.errors import InternalError, ServingError
from modelserver.execution.answers import answer_of_leaf, answer_of_leaves, with_trace, with_type
from modelserver.execution.inputs import SPLIT, inputs_of_node, is_node_due
from modelserver.execution.node_run import NodeRun
from modelserver.execution.outcomes import ANSWERED, CLIENT_LEFT, TIME_OVER, outcome_of
from modelserver.execution.payloads import Payload, PayloadStore
from modelserver.execution.plan import Plan, PlannedNode
from modelserver.execution.tensors import check_reply
from modelserver.interfaces import Recorder
from modelserver.jobs import ASSIGNED, STREAMING, Answer, Inputs, Job, ResponseObserver, SharedSlot
from modelserver.language.attributes import define, frozen

_log = Logger()


class Enqueue(Protocol):
    """Queues a job that is a part of a request."""

    def __call__(self, name: str, version: str | None, inputs: Inputs, observer: ResponseObserver) -> Job:
        """
        Queue it; ``observer`` is told what comes of it.

        :raises ServingError: it is refused.
        """


@frozen(eq=False)
class RunServices:
    """
    What all runs use.

    :param is_strict: answers are as TorchServe's: status 200 and JSON, whatever handlers say, and whole.
    """

    enqueue: Enqueue
    store: PayloadStore
    clock: IReactorTime
    recorder: Recorder
    is_strict: bool = False


@define(eq=False)
class WorkflowRun:
    """
    One request to a workflow.

    Its client waits for ``job``, which no worker gets: the run settles it, once, and is the ``JobHolder``
    that is told when its client leaves or its time is over. All jobs of nodes are then withdrawn.

    :param request: everything of the inputs but the body.
    :param ended: called once, when nothing of the run is left.
    :param has_trace: the answer is to tell the times of the nodes.
    """

    plan: Plan
    services: RunServices
    job: Job
    request: Inputs
    ended: Callable[[], object]
    has_trace: bool = False
    workflow: str = field(init=False)
    store: PayloadStore = field(init=False)
    _node_runs: list[NodeRun | None] = field(init=False)
    _waiting: list[int] = field(init=False)
    """For each node, how many of its parents are neither over nor passed over."""
    _unresolved: int = field(init=False)
    """How many nodes are neither over nor passed over."""
    _is_over: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        nodes = self.plan.nodes
        self.workflow, self.store = self.plan.workflow, self.services.store
        self._node_runs = [None] * len(nodes)
        self._waiting = [len(node.parents) for node in nodes]
        self._unresolved = len(nodes)

    def start(self, body: Payload) -> None:
        """
        Call the first node.

        :param body: that of the request, which the run holds from now on.
        :raises ServingError: the call is refused; nothing is left of the run.
        """
        self.job.holder, self.job.dropped = self, self._dropped
        coming = self.plan.coming
        for number in range(1, len(coming)):
            coming[number] += 1
        try:
            self._begin(self.plan.nodes[0], [body], self.request)
        except Exception as error:
            self.job.holder = None
            self._end(outcome_of(error))
            raise

    def now(self) -> float:
        """Return the clock's seconds (monotonic)."""
        return self.services.clock.seconds()

    # What the job of the client tells, as its holder's.

    def recall(self, job: Job) -> None:
        """Let the job say whether a worker has had the request."""
        first = self._node_runs[0]
        if first is not None and not first.is_waiting:
            job.state = ASSIGNED

    def cancel_stream(self, job: Job) -> None:
        """Do nothing: the jobs of the nodes are withdrawn by then."""

    def resume(self, job: Job) -> None:
        """Let the node that streams to the client go on."""
        for node_run in self._node_runs:
            if node_run is not None and self.streams(node_run.node):
                node_run.resume()

    def _dropped(self) -> None:
        """Withdraw all jobs: the client has left, or its time is over."""
        deadline = self.job.request.deadline
        is_late = deadline is not None and deadline <= self.now()
        self.job.holder = None
        self._end(TIME_OVER if is_late else CLIENT_LEFT)

    # What nodes ask and tell.

    def enqueue(self, node: PlannedNode, inputs: Inputs, observer: ResponseObserver) -> Job:
        """
        Queue a job of a node's model.

        :raises ServingError: it is refused.
        """
        return self.services.enqueue(node.model, node.version, inputs, observer)

    def streams(self, node: PlannedNode) -> bool:
        """Return whether the parts of a node's answer go to the client as they come."""
        is_alone = self.plan.has_one_leaf and not node.children and node.items is not SPLIT
        return is_alone and not self.services.is_strict

    def parts_arrived(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Send parts of the last node's answer to the client; return whether it can take more now."""
        if self.job.state is not STREAMING:
            self.job.state = STREAMING
            first, *others = parts
            parts = [first._replace(header_block=with_type(first.header_block)), *others]
        return self.job.observer.next_parts(self.job, parts)

    def attempt_ended(self, node: PlannedNode, job: Job | None, error: ServingError | None) -> None:
        """Count an attempt that has ended."""
        outcome = ANSWERED if error is None else outcome_of(error)
        seconds = queued = None
        if job is not None:
            arrived = job.request.arrived
            seconds = self.services.clock.seconds() - arrived
            queued = getattr(job, "assigned", arrived + seconds) - arrived
        self.services.recorder.node_called(self.workflow, node.name, outcome, seconds, queued)

    def node_ended(self, node_run: NodeRun) -> None:
        """Begin the nodes that have waited for this one alone, or end the run."""
        self._resolve(node_run.node.number)

    def fail(self, error: Exception) -> None:
        """End the run: its client is told why; a defect, which is being handled, is for the log."""
        if not isinstance(error, ServingError):
            _log.failure("A run of workflow {workflow} failed", workflow=self.workflow)
            error = InternalError()
        if not self._is_over:
            self._end(outcome_of(error))
            self.job.settle(error)

    # The graph.

    def _begin(self, node: PlannedNode, payloads: Sequence[Payload], request: Inputs) -> None:
        node_run = NodeRun(node, self, node.items is SPLIT, len(node.children))
        self._node_runs[node.number] = node_run
        node_run.begin(payloads, request)

    def _resolve(self, number: int) -> None:
        """Note that a node is over."""
        nodes, waiting = self.plan.nodes, self._waiting
        resolved = [number]
        for each in resolved:  # grows while it is walked
            self._unresolved -= 1
            for child in nodes[each].children:
                waiting[child] -= 1
                if not waiting[child] and not self._decide(nodes[child]):
                    resolved.append(child)
                if self._is_over:
                    return
        if not self._unresolved:
            self._finish()

    def _decide(self, node: PlannedNode) -> bool:
        """Begin a node whose parents are over, or pass it over; return whether something is to be awaited."""
        self.plan.coming[node.number] -= 1
        parents = [each for number in node.parents if (each := self._node_runs[number]) is not None]
        is_due = is_node_due(node, parents)
        payloads, request = inputs_of_node(node, parents, self.request, self.store) if is_due else ((), None)
        for parent in parents:
            parent.child_decided(is_due)
        if request is not None:
            self._begin(node, payloads, request)
        return bool(payloads)

    # The end.

    def _finish(self) -> None:
        ran = [each for each in self._node_runs if each is not None]
        leaves = [each for each in ran if not each.is_read]
        if self.plan.has_one_leaf and len(leaves) == 1:
            leaf = leaves[0]
            check_reply(leaf, self.request)
            answer = answer_of_leaf(leaf, self.services.is_strict)
            if not leaf.is_split:
                self._hand_over(leaf)
        else:
            answer = answer_of_leaves(leaves)
        if self.has_trace:
            answer = with_trace(answer, ran)
        self._end(ANSWERED)
        self.job.settle(answer)

    def _hand_over(self, leaf: NodeRun) -> None:
        """Let the client's job have the place of the answer, as it would have that of its own."""
        (payload,) = leaf.outputs
        leaf.outputs = []
        if payload.slot is not None:
            place = SharedSlot(payload.slot.offset, payload.slot.size, payload.drop)
            self.job.request = self.job.request._replace(body=place)

    def _end(self, outcome: str) -> None:
        """Let go of everything; the run, its nodes and the job know each other no more."""
        self._is_over = True
        if self._unresolved:
            coming = self.plan.coming
            for number, parents in enumerate(self._waiting):
                if parents:
                    coming[number] -= 1
        node_runs, self._node_runs = self._node_runs, []
        for node_run in node_runs:
            if node_run is not None:
                node_run.withdraw()
        self.job.dropped = None
        seconds = self.now() - self.job.request.arrived
        self.services.recorder.workflow_ended(self.workflow, outcome, seconds)
        self.ended()
