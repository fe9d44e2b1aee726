"""Calls with many requests: each is a job by itself, and its error its own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable, Sequence
from typing import Protocol

from attrs import field

from modelserver.errors import ServingError
from modelserver.inference.predict import Inference
from modelserver.inference.sequences import SequenceStep
from modelserver.jobs import Answer, Job, ResponseObserver
from modelserver.language.attributes import define
from modelserver.rpc.codes import Code
from modelserver.rpc.interfaces import Call


@define(eq=False)
class StreamedRequest:
    """
    One request of a call.

    :param message: as it came.
    :param target: model and version, as far as they are known.
    :param step: the sequence that it belongs to, if any.
    """

    message: bytes
    target: tuple[str, str | None] = ("", None)
    id: str = ""
    step: SequenceStep | None = None
    tells_last: bool = False
    """Whether the client wants to be told which message is the last one for it (Triton)."""

    @property
    def sequence(self) -> Hashable:
        """What its sequence is known by, among those of one call."""
        return None if self.step is None else (self.target, self.step.id)


class StreamService(Protocol):
    """How a service reads requests and words answers."""

    @property
    def inference(self) -> Inference:
        """The use case."""

    def read(self, request: StreamedRequest) -> None:
        """
        Fill in what the message says.

        :raises ServingError: it cannot be served.
        """

    def submit(self, call: Call, request: StreamedRequest, observer: ResponseObserver) -> Job:
        """
        Queue a request.

        :raises ServingError: it is refused.
        """

    def answered(self, request: StreamedRequest, answer: Answer, is_last: bool) -> bytes:
        """Return the message of a part of an answer."""

    def failed(self, request: StreamedRequest, error: ServingError) -> bytes:
        """Return the message that tells why there is no answer."""


@define(eq=False)
class RequestObserver:
    """Waits for the job of one request."""

    stream: RequestStream
    request: StreamedRequest

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Send parts."""
        answered = self.stream.service.answered
        return self.stream.send(*[answered(self.request, part, False) for part in parts])

    def completed(self, job: Job, answer: Answer) -> None:
        """Send the answer, or its last part."""
        self.stream.done(self.request, job, self.stream.service.answered(self.request, answer, True))

    def failed(self, job: Job, error: ServingError) -> None:
        """Send why there is no answer."""
        self.stream.done(self.request, job, self.stream.service.failed(self.request, error))


@define(eq=False)
class RequestStream:
    """
    The requests of one call. It ends when the client has ended its side and all of them are answered.

    The client may send on when its requests are answered and the answers are read: neither side piles up.
    """

    call: Call
    service: StreamService
    _jobs: set[Job] = field(factory=set, init=False)
    _at_work: Counter[Hashable] = field(factory=Counter, init=False)
    """How many of the jobs there are of each sequence."""
    _waiting: dict[Hashable, deque[StreamedRequest]] = field(factory=dict, init=False)
    """Requests over their sequence's limit (``maxSequenceJobQueueSize``), or behind its end."""
    _sequences: dict[Hashable, StreamedRequest] = field(factory=dict, init=False)
    """The last request of each sequence that has not ended; it may be the one that ends it."""
    _has_ended: bool = field(default=False, init=False)
    _unread: int = field(default=0, init=False)
    _untold: int = field(default=0, init=False)
    """Bytes of requests that are answered, whose answers the client has not read, and their number."""
    _is_full: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Wait for requests."""
        self.call.on_cancelled = self._cancelled
        self.call.on_resume = self._resume

    def take(self, message: bytes) -> None:
        """Take a request."""
        request = StreamedRequest(message)
        try:
            self.service.read(request)
        except ServingError as error:
            self._told(request, self.service.failed(request, error))
            return
        waiting = self._waiting.get(request.sequence)
        if waiting is not None:
            waiting.append(request)
        elif not self._submit(request):
            self._waiting[request.sequence] = deque((request,))

    def end(self) -> None:
        """The client will send no more."""
        self._has_ended = True
        self._finish_if_done()

    def send(self, *messages: bytes) -> bool:
        """Send messages; return whether another may follow now."""
        self._is_full = not self.call.send(*messages)
        return not self._is_full

    def done(self, request: StreamedRequest, job: Job, message: bytes) -> None:
        """Send the last message for a request."""
        self._jobs.discard(job)
        self._at_work[request.sequence] -= 1
        self._told(request, message)
        step = request.step
        if step is not None and step.ends:
            self._sequences.pop(request.sequence, None)
            self.service.inference.end_sequence(*request.target, step.id)
        waiting = self._waiting.get(request.sequence)
        while waiting and self._submit(waiting[0]):
            waiting.popleft()
        if not waiting:
            self._waiting.pop(request.sequence, None)
        if not self._at_work[request.sequence]:
            del self._at_work[request.sequence]
        self._finish_if_done()

    def _submit(self, request: StreamedRequest) -> bool:
        """Queue a request, or tell why not; return false if it is to wait for one of its sequence."""
        if self._is_to_wait(request):
            return False
        observer = RequestObserver(self, request)
        try:
            job = self.service.submit(self.call, request, observer)
        except ServingError as error:
            self._told(request, self.service.failed(request, error))
            return True
        self._jobs.add(job)
        self._at_work[request.sequence] += 1
        if request.step is not None:
            self._sequences[request.sequence] = request
        return True

    def _is_to_wait(self, request: StreamedRequest) -> bool:
        """Return whether its sequence has jobs of this call that are to be answered first."""
        step, sequence = request.step, request.sequence
        if step is None or not self._at_work[sequence]:
            return False
        last = self._sequences.get(sequence)
        if last is not None and last.step is not None and last.step.ends:
            return True  # it begins anew behind its end
        return not self.service.inference.has_room_in(*request.target, step.id)

    def _told(self, request: StreamedRequest, message: bytes) -> None:
        size = len(request.message)
        if self.send(message):
            self.call.consumed(size)
        else:
            self._unread += size
            self._untold += 1

    def _resume(self) -> None:
        self._is_full = False
        unread, count, self._unread, self._untold = self._unread, self._untold, 0, 0
        self.call.consumed(unread, count)
        for job in list(self._jobs):
            job.resume()

    def _finish_if_done(self) -> None:
        if self._has_ended and not self._jobs and not self._waiting:
            self._leave()
            self.call.finish()

    def _cancelled(self, code: Code) -> None:
        jobs, self._jobs = self._jobs, set()
        self._waiting.clear()
        self._at_work.clear()
        for job in jobs:
            job.withdraw()
        self._leave()

    def _leave(self) -> None:
        """End the sequences of the call, and let go of it: who is left may be many, and in no hurry."""
        for request in self._sequences.values():
            assert request.step is not None, "it is one of a sequence"
            self.service.inference.end_sequence(*request.target, request.step.id)
        self._sequences.clear()
        self.call.on_cancelled = self.call.on_resume = None
        self.call.context = None


class StreamingMethod:
    """
    A method whose calls are streams of requests.

    :param name: the path.
    """

    streams_in = True

    def __init__(self, name: str, service: StreamService) -> None:
        self.name = name
        self._service = service

    def begin(self, call: Call) -> None:
        """Take a call."""
        call.context = stream = RequestStream(call, self._service)
        stream.begin()

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Take a request, or the end of them."""
        stream = call.context
        if not isinstance(stream, RequestStream):
            return  # the call has ended
        if message is None:
            stream.end()
        else:
            stream.take(bytes(message))
