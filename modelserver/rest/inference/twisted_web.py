"""Predictions that Twisted Web has read: how their answers are written on its requests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from attrs import field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from modelserver.errors import ServingError
from modelserver.interfaces import Dialect, Reply
from modelserver.jobs import Answer, Job, bodies_of
from modelserver.language.attributes import define
from modelserver.protocol.frames import show_id
from modelserver.rest.answer_headers import Headers, prepare

if TYPE_CHECKING:
    from twisted.web.server import Request

    from modelserver.http1.twisted_web import OneRequestChannel


@implementer(IPushProducer)
@define(eq=False)
class TwistedWebResponder:
    """
    Waits for a job for a Twisted Web request.

    :param cors: header lines for every answer, each ended by CRLF.
    :param answer: fires with what is still to be written.
    """

    request: Request
    dialect: Dialect
    cors: bytes
    answer: Deferred[bytes] = field(factory=Deferred, init=False)
    _job: Job | None = field(default=None, init=False)
    _is_full: bool = field(default=False, init=False)

    def when_cancelled(self, withdraw: Callable[[], None]) -> None:
        """Call ``withdraw`` when the route's Deferred is cancelled: the client has left."""
        self.answer.addErrback(_left, withdraw)

    def completed(self, job: Job, answer: Answer) -> None:
        """Write a handler's answer, or the last part of a streamed one."""
        if self._job is not None:
            self.request.unregisterProducer()
            self.answer.callback(bytes(answer.body))
        else:
            self.answer.callback(self._begin(job, answer))

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Write parts of a streamed answer."""
        if self._job is None:
            self._job = job
            self._begin(job, parts[0])
            self.request.responseHeaders.removeHeader(b"content-length")
            self.request.registerProducer(self, True)
        for body in bodies_of(parts):
            self.request.write(bytes(body))
        return not self._is_full

    def pauseProducing(self) -> None:
        """Hold the handler: the client does not read fast enough."""
        self._is_full = True

    def resumeProducing(self) -> None:
        """Let the handler send on: the client has read what was written."""
        self._is_full = False
        if self._job is not None:
            self._job.resume()

    def stopProducing(self) -> None:
        """Do nothing: the client is gone, and the route's Deferred is cancelled for it."""

    def failed(self, job: Job, error: ServingError) -> None:
        """Write why there is no answer; a stream that has begun is cut off."""
        if self._job is not None:
            _cut_off(self.request)
        else:
            self.answer.callback(self._prepare(job, self.dialect.failed(error)))

    def _begin(self, job: Job, answer: Answer) -> bytes:
        reply = _reply_of(answer)
        body = self._prepare(job, reply)
        # No phrase of Twisted's where the handler has set none: as connections do.
        self.request.code_message = reply.phrase
        return body

    def _prepare(self, job: Job, reply: Reply) -> bytes:
        return prepare(self.request, reply, show_id(job.request.id).decode(), _pairs(self.cors))


def body_of(request: Request) -> bytes:
    """Return the body of a request, however far it was read already."""
    if request.content is None:
        return b""
    request.content.seek(0)
    body: bytes = request.content.read()
    return body


def _cut_off(request: Request) -> None:
    """End the connection of an answer that cannot be finished."""
    if request.channel is not None:
        cast("OneRequestChannel", request.channel).abortConnection()


def _left(failure: Failure, withdraw: Callable[[], None]) -> Failure:
    if failure.check(CancelledError):
        withdraw()
    return failure


def _reply_of(answer: Answer) -> Reply:
    phrase, _, lines = answer.header_block.partition(b"\r\n")
    return Reply(answer.status, bytes(answer.body), phrase, _pairs(lines))


def _pairs(lines: bytes) -> Headers:
    pairs = [line.partition(b": ") for line in lines.split(b"\r\n") if line]
    return [(name, value) for name, _, value in pairs]
