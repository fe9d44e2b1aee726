"""From calls to jobs, and from answers of workers to messages, for every service that asks models."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from attrs import field
from twisted.internet.interfaces import IReactorTime

from modelserver.errors import DeadlinePassed, PredictionFailed, ResponseTooLarge, ServingError
from modelserver.inference.predict import Inference
from modelserver.inference.sequences import SequenceStep, with_step
from modelserver.inference.workflows import AnyInference, WorkflowInference
from modelserver.jobs import Answer, Job, ResponseObserver, SharedSlot, bodies_of, inputs_of
from modelserver.language.attributes import frozen
from modelserver.protocol.frames import EXPLAIN
from modelserver.protocol.shared_memory import LARGE, SharedMemoryPool
from modelserver.rpc.codes import CallStatus, Code, Metadatum
from modelserver.rpc.interfaces import Call
from modelserver.rpc.status import Statuses, code_of_http
from modelserver.system.bounded_cache import Memo

Body = bytes | bytearray | memoryview


STATUS = "x-status-code"
"""Where the status goes that a handler has set: a call has one of its own."""
CONTENT_TYPE = "x-content-type"
"""Likewise the type of its answer: the call's is gRPC's."""
LONGEST_TEXT = 1024
"""Characters of an answer that a status can carry."""
_OK = Code.OK
_NAME = re.compile(r"[0-9a-z_.-]+")
_RESERVED = ("grpc-", ":")
_NOT_PRINTABLE = re.compile(r"[^ -~]")


@frozen
class AnswerRules:
    """
    What an operator decides about answers.

    :param maps_status: a handler's status decides on the call's; else the call is OK, as in TorchServe.
    :param largest: bytes of an answer that is joined of several parts.
    """

    maps_status: bool = False
    largest: int = 6553500


@frozen(eq=False)
class Predictor:
    """
    Makes the jobs of calls.

    :param slots: memory that workers can read, for large messages; None: there is none.
    :param workflows: those that may be asked by their names where no model has them; None: there are none.
    """

    inference: Inference
    clock: IReactorTime
    slots: SharedMemoryPool | None = None
    workflows: WorkflowInference | None = None
    either: AnyInference = field(init=False)

    @either.default
    def _make_either(self) -> AnyInference:
        return AnyInference(self.inference, self.workflows)

    def predict(
        self,
        call: Call,
        target: tuple[str, str | None],
        message: bytes | memoryview,
        flags: int,
        observer: ResponseObserver,
        step: SequenceStep | None = None,
    ) -> Job:
        """
        Queue the request of a call.

        :param target: model and version; None: the default one.
        :param flags: what kind of message it is.
        :param step: the sequence that it belongs to, if any.
        :raises ServingError: it is refused.
        """
        block, inference = call.header_block, self.inference
        name, version = target
        if step is not None:
            block = with_step(block, step, inference.sequences_of(name, version))
        if call.explains:
            flags |= EXPLAIN
        timeout = 0.0
        if call.deadline is not None:
            timeout = call.deadline - self.clock.seconds()
            if timeout <= 0:
                raise DeadlinePassed(call.deadline - call.arrived)
        body: bytes | SharedSlot
        if len(message) < LARGE:
            body = message if type(message) is bytes else bytes(message)
        else:
            body = call.take_place() or self._kept(message)
        asked = inference if inference.registry.has(name) else self.either
        try:
            return asked.predict(name, version, inputs_of((block, b"", body, flags)), observer, timeout)
        except Exception:
            if isinstance(body, SharedSlot):
                body.free()  # it has become no job's
            raise

    def _kept(self, message: bytes | memoryview) -> bytes | SharedSlot:
        """Return a large message where workers read it, if there is room, and else as it is."""
        slot = None if self.slots is None else self.slots.put(message)
        return bytes(message) if slot is None else slot

    def refuse(self, call: Call, error: ServingError, statuses: Statuses) -> None:
        """End a call that has no job, and so no id yet."""
        call.request_id = self.inference.new_id()
        call.finish(*statuses.of(error))


@frozen(eq=False)
class AnswerForm:
    """
    How a method's calls end with what workers answer.

    :param ahead: returns what comes in a message before an answer of so many bytes.
    :param carries_text: a message can carry the text of an error that a handler has called a success.
    """

    statuses: Statuses
    rules: AnswerRules
    ahead: Callable[[int], bytes]
    carries_text: bool = False


class CallObserver:
    """
    Ends a call with what a handler answers.

    :ivar on_end: called when the job is over.
    """

    __slots__ = ("_job", "call", "form", "on_end")

    def __init__(self, call: Call, form: AnswerForm) -> None:
        self.call, self.form = call, form
        self.on_end: Callable[[], object] | None = None
        self._job: Job | None = None

    def begun(self, job: Job) -> None:
        """Note the job of the call; it is withdrawn when the client leaves."""
        self.call.request_id = job.request.id
        self.call.on_cancelled, self._job = self._left, job

    def _left(self, code: Code) -> None:
        job = self._job
        self._let_go()
        if job is not None:
            job.withdraw()

    def _let_go(self) -> None:
        """Break the circle of call, job and observer: memory would wait for the collector."""
        self.call.on_cancelled = self.call.on_resume = self._job = None
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()

    def end_with(self, job: Job, answer: Answer, body: Body) -> None:
        """Send a handler's only answer, or its last part, and the status."""
        call, form = self.call, self.form
        self._let_go()
        if answer.header_block or answer.status != 200:
            call.trailing = trailing_of(answer)
            status = self.refusal(answer.status, body)
            if status is not None:
                call.finish(*status)
                return
        if len(body) >= LARGE:
            call.reply_large(form.ahead(len(body)), body, job.hand_over_place)
        else:
            call.reply_behind(form.ahead, body)

    def refusal(self, status: int, body: Body) -> CallStatus | None:
        """Return what a handler's status ends the call with, if it does."""
        code = code_of_http(status) if self.form.rules.maps_status else _OK
        if code is _OK:
            return None
        return CallStatus(code, bytes(body[: 4 * LONGEST_TEXT]).decode("utf-8", "replace")[:LONGEST_TEXT])

    def failed(self, job: Job, error: ServingError) -> None:
        """Send why there is no answer."""
        self._let_go()
        form = self.form
        status = form.statuses.of(error)
        if status.code is _OK and isinstance(error, PredictionFailed):
            if form.carries_text:
                self.call.reply_behind(form.ahead, error.message.encode())
                return
            status = status._replace(code=Code.UNKNOWN)
        self.call.finish(*status)


class WholeAnswer(CallObserver):
    """Answers a call that has room for one message: parts are joined."""

    __slots__ = ("_parts", "_size")

    def __init__(self, call: Call, form: AnswerForm) -> None:
        # Not by the class above: each call makes one.
        self.call, self.form = call, form
        self.on_end = self._job = None
        self._parts: list[bytes] | None = None
        self._size = 0

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Keep parts; a handler that sends more than an answer may have is stopped."""
        if self._parts is None:
            self._parts = []
        bodies = bodies_of(parts)
        self._parts += map(bytes, bodies)
        self._size += sum(map(len, bodies))
        largest = self.form.rules.largest
        if self._size > largest:
            self._parts = None
            job.withdraw()
            self.failed(job, ResponseTooLarge(self._size, largest))
        return True

    def completed(self, job: Job, answer: Answer) -> None:
        """Send the answer, with the parts before it."""
        status, header_block, body = answer
        if self._parts is not None:
            body = b"".join([*self._parts, body])
        elif status == 200 and not header_block and len(body) < LARGE and self.on_end is None:  # nearly all
            call = self.call
            call.on_cancelled = self._job = None
            call.reply_behind(self.form.ahead, body)
            return
        self.end_with(job, answer, body)


class StreamedAnswer(CallObserver):
    """Answers a call with a message for each part; a client that reads slowly holds its handler."""

    __slots__ = ()

    def begun(self, job: Job) -> None:
        """Let the handler go on when the client has read."""
        CallObserver.begun(self, job)
        self.call.on_resume = job.resume

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Send parts."""
        return self.call.send_behind(self.form.ahead, bodies_of(parts))

    def completed(self, job: Job, answer: Answer) -> None:
        """Send the last part."""
        self.end_with(job, answer, answer.body)


def trailing_of(answer: Answer) -> Sequence[Metadatum]:
    """Return what a handler wants its answer to carry, as metadata: what they cannot hold is left out."""
    found = _METADATA[answer.header_block]
    return found if answer.status == 200 else ((STATUS, f"{answer.status}"), *found)


def _metadata_in(header_block: bytes) -> Sequence[Metadatum]:
    found: list[Metadatum] = []
    for line in header_block.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), _NOT_PRINTABLE.sub("?", value.strip())
        if name == "content-type":
            found.append((CONTENT_TYPE, value))
        elif _NAME.fullmatch(name) and not name.startswith(_RESERVED):
            found.append((name, value.encode() if name.endswith("-bin") else value))
    return tuple(found)


_METADATA = Memo(_metadata_in, 256, 1024)
"""What answers carry is mostly what those before have carried."""
