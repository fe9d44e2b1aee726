"""One node of a run: its calls, each tried again when it fails, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from attrs import field

from modelserver.errors import (
    BadRequest,
    DeadlinePassed,
    NoWorkers,
    QueueFull,
    ResponseTooLarge,
    ServingError,
)
from modelserver.execution.documents import NoJson, json_items, json_list, read_json
from modelserver.execution.payloads import Bytes, Loan, Payload, PayloadStore, owned
from modelserver.execution.plan import PlannedNode
from modelserver.jobs import WAITING, Answer, Inputs, Job, ResponseObserver, SharedSlot, bodies_of, inputs_of
from modelserver.language.attributes import define
from modelserver.workflows.errors import NodeFailed

LONGEST_COLLECTED = 64 * 1024 * 1024
"""Bytes of a streamed answer that are collected for the next node."""

TOLD_AS_THEY_ARE = (BadRequest, NoWorkers, QueueFull)
"""Errors that are no failure of a node: the request's own fault, or that of the load."""

UNREAD = object()
"""In the stead of a JSON value that nobody has asked for."""


class NodeOwner(Protocol):
    """What a node's calls ask of their run."""

    workflow: str
    store: PayloadStore
    has_trace: bool
    """Whether it is told how long nodes take."""

    def enqueue(self, node: PlannedNode, inputs: Inputs, observer: ResponseObserver) -> Job:
        """
        Queue a job of a node's model.

        :raises ServingError: it is refused.
        """

    def now(self) -> float:
        """Return the clock's seconds (monotonic)."""

    def streams(self, node: PlannedNode) -> bool:
        """Return whether the parts of a node's answer go to the client as they come."""

    def parts_arrived(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Send a part of a node's answer to the client; return whether it can take more now."""

    def attempt_ended(self, node: PlannedNode, job: Job | None, error: ServingError | None) -> None:
        """
        Count an attempt that has ended.

        :param job: None: it was refused.
        :param error: None: it was answered.
        """

    def node_ended(self, node_run: NodeRun) -> None:
        """Go on: all calls of a node have been answered."""

    def fail(self, error: Exception) -> None:
        """End the run, by whatever went wrong."""


@define(eq=False)
class NodeRun:
    """
    One node in one run.

    :param is_split: it is called for each item of a list.
    :param undecided: how many of the nodes behind it have not begun, nor been passed over.
    :param outputs: what its calls have answered, in the order of the items.
    :param is_read: a node behind it has begun, so that its answer is no part of the run's.
    :param answer: of the last call: status and headers of a node that is called once.
    :param begun: and ``ended``: in the clock's (monotonic) seconds, where the run has a trace.
    """

    node: PlannedNode
    run: NodeOwner
    is_split: bool
    undecided: int
    begun: float = field(default=0.0, init=False)
    ended: float = field(default=0.0, init=False)
    attempts: int = field(default=0, init=False)
    outputs: list[Payload] = field(factory=list, init=False)
    is_read: bool = field(default=False, init=False)
    answer: Answer | None = field(default=None, init=False)
    _calls: list[NodeCall] = field(factory=list, init=False)
    _left: int = field(default=0, init=False)
    _value: object = field(default=UNREAD, init=False)

    def begin(self, payloads: Sequence[Payload], request: Inputs) -> None:
        """
        Call the node's model for each payload, of which this node is a holder from now on.

        :param request: everything of the inputs but their bodies.
        :raises ServingError: a call is refused; the run is to be ended.
        """
        self._left = len(payloads)
        if self.run.has_trace:
            self.begun = self.ended = self.run.now()
        self._calls = [NodeCall(self, each, request) for each in payloads]
        for call in self._calls:
            call.begin()

    def withdraw(self) -> None:
        """Have nobody work on it any more, and let go of all bodies and calls."""
        calls, self._calls = self._calls, []
        for call in calls:
            call.withdraw()
        self.drop_outputs()

    def resume(self) -> None:
        """Let a handler that was held send its next part."""
        for call in self._calls:
            if call.job is not None:
                call.job.resume()

    @property
    def is_waiting(self) -> bool:
        """Whether no worker has had any of its jobs."""
        return self._left > 0 and all(
            call.job is not None and call.job.state is WAITING for call in self._calls
        )

    def child_decided(self, is_due: bool) -> None:
        """Note that a node behind this one begins, or was passed over: all that do hold what they need."""
        self.undecided -= 1
        self.is_read |= is_due
        if not self.undecided and self.is_read:
            self.drop_outputs()

    def drop_outputs(self) -> None:
        """Let go of what was answered."""
        outputs, self.outputs = self.outputs, []
        self._value = UNREAD
        for output in outputs:
            output.drop()

    # What was answered, for those behind it.

    def whole(self, store: PayloadStore) -> Payload:
        """
        Return the whole answer; the caller holds it, and drops it.

        :raises NodeFailed: it is called for each item of a list, and an answer is no JSON.
        """
        return store.of_bytes(self.list_of_items()) if self.is_split else self.outputs[0].keep()

    def items(self, store: PayloadStore) -> Sequence[Payload]:
        """
        Return the items of the answer, or the answers for each item; the caller holds them, and drops them.

        :raises NodeFailed: the answer is no JSON list.
        """
        if self.is_split:
            return [output.keep() for output in self.outputs]
        try:
            return [store.of_bytes(item) for item in json_items(self.outputs[0].data)]
        except NoJson as error:
            raise self._unusable(error) from error

    def list_of_items(self) -> bytes:
        """
        Return the answers for each item as a JSON list.

        :raises NodeFailed: one is no JSON.
        """
        try:
            return json_list([output.data for output in self.outputs])
        except NoJson as error:
            raise self._unusable(error) from error

    def document(self) -> Bytes:
        """
        Return the answer, which is JSON.

        :raises NodeFailed: it is none.
        """
        if self.is_split:
            return self.list_of_items()
        try:
            self._read()
        except NoJson as error:
            raise self._unusable(error) from error
        return self.outputs[0].data

    def value(self) -> object:
        """Return the answer as a JSON value; None where it is none."""
        try:
            return self._read()
        except NoJson:
            return None

    def _read(self) -> object:
        if self._value is UNREAD:
            datas = [output.data for output in self.outputs]
            self._value = read_json(json_list(datas) if self.is_split else datas[0])
        return self._value

    def _unusable(self, error: NoJson) -> NodeFailed:
        return NodeFailed(self.run.workflow, self.node.name, self.attempts, reason=str(error))

    def call_answered(self, answer: Answer) -> None:
        """Note that one call is over; after the last one the run goes on."""
        self._left -= 1
        if not self._left:
            calls, self._calls = self._calls, []
            self.outputs = [each.output for each in calls if each.output is not None]
            self.answer = answer
            if self.run.has_trace:
                self.ended = self.run.now()
            self.run.node_ended(self)


@define(eq=False)
class NodeCall:
    """
    One call of a node's model, with all its attempts: the observer of its jobs.

    :param payload: what the model gets; held until there is an answer.
    :param request: everything of the inputs but the body.
    :param job: the present attempt.
    :param output: the answer, held until the node takes it.
    """

    node_run: NodeRun
    payload: Payload | None
    request: Inputs
    job: Job | None = field(default=None, init=False)
    output: Payload | None = field(default=None, init=False)
    _attempts: int = field(default=0, init=False)
    _loan: Loan | None = field(default=None, init=False)
    _parts: list[bytes] = field(factory=list, init=False)
    _collected: int = field(default=0, init=False)
    _has_sent: bool = field(default=False, init=False)
    """Whether a part went to the client, who would get it again with a second attempt."""

    def begin(self) -> None:
        """
        Make an attempt.

        :raises ServingError: the job is refused.
        """
        node_run, payload = self.node_run, self.payload
        assert payload is not None  # it is held until there is an answer
        node, run = node_run.node, node_run.run
        body = self._body_of(payload)
        header_block, extra, _, flags = self.request
        try:
            self.job = run.enqueue(node, inputs_of((header_block, extra, body, flags)), self)
        except Exception as error:
            if self._loan is not None:
                self._loan.body.free()  # it has become no job's
            if not isinstance(error, ServingError):
                raise
            run.attempt_ended(node, None, error)
            raise self._told(error) from None
        self._attempts += 1
        node_run.attempts += 1
        node.timer.watch(self)

    def _body_of(self, payload: Payload) -> bytes | bytearray | SharedSlot:
        slot, data = payload.slot, payload.data
        if slot is None:
            return owned(data)
        self._loan = loan = self.node_run.run.store.lend(payload, slot)
        return loan.body

    def withdraw(self) -> None:
        """Wait for no answer any more, and let go of what there is."""
        job, self.job = self.job, None
        if job is not None:
            self.node_run.node.timer.forget(self)
            job.withdraw()
        payload, self.payload = self.payload, None
        output, self.output = self.output, None
        for held in (payload, output):
            if held is not None:
                held.drop()

    # What the job tells.

    def completed(self, job: Job, answer: Answer) -> None:
        """Take the answer, and go on."""
        try:
            self._take(job, answer)
        except Exception as error:
            self.node_run.run.fail(error)

    def _take(self, job: Job, answer: Answer) -> None:
        node_run, payload, loan = self.node_run, self.payload, self._loan
        assert payload is not None  # as long as there is a job
        node, run = node_run.node, node_run.run
        node.timer.forget(self)
        self.job = None
        # Behind parts, what lies in the room is not all of the answer.
        output = None if loan is None or self._parts else loan.answer_of(job, answer)
        if output is None:
            body = b"".join([*self._parts, answer.body]) if self._parts else answer.body
            # The place of an answer that lies over its request goes with the job.
            output = run.store.of_bytes(body) if node.children else Payload(owned(body))
        self.output, self.payload, self._loan = output, None, None
        payload.drop()
        run.attempt_ended(node, job, None)
        node_run.call_answered(answer)

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Send parts of a streamed answer to the client, or keep them for the next node."""
        node, run = self.node_run.node, self.node_run.run
        if run.streams(node):
            self._has_sent = True
            return run.parts_arrived(job, parts)
        bodies = bodies_of(parts)
        self._collected += sum(map(len, bodies))
        if self._collected <= LONGEST_COLLECTED:
            self._parts += map(bytes, bodies)
        else:
            error = ResponseTooLarge(self._collected, LONGEST_COLLECTED)
            run.attempt_ended(node, job, error)
            run.fail(self._told(error))
        return True

    def failed(self, job: Job, error: ServingError) -> None:
        """Try again, or end the run."""
        self.node_run.node.timer.forget(self)
        try:
            self._try_again(job, error)
        except Exception as refusal:
            self.node_run.run.fail(refusal)

    # What the timer tells.

    def timed_out(self) -> None:
        """Give an attempt up: a worker that has it may go on, but nobody waits for it."""
        job = self.job
        assert job is not None  # only attempts are watched
        error = DeadlinePassed(self.node_run.node.timer.seconds, started=job.state is not WAITING)
        job.withdraw()
        # Through whoever stands before this call: the next attempt belongs to the same trace.
        job.observer.failed(job, error)

    def _try_again(self, job: Job, error: ServingError) -> None:
        node, run = self.node_run.node, self.node_run.run
        self.job = None
        self._parts, self._collected = [], 0
        run.attempt_ended(node, job, error)
        if self._has_sent or self._attempts > node.retries or isinstance(error, BadRequest):
            run.fail(self._told(error))
        else:
            self.begin()

    def _told(self, error: ServingError) -> ServingError:
        """Return what the client is told of an error of the last attempt."""
        if isinstance(error, TOLD_AS_THEY_ARE):
            return error
        return NodeFailed(self.node_run.run.workflow, self.node_run.node.name, self._attempts, error)
