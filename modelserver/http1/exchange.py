"""One request that a connection serves itself, and the answer to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import evolve, field
from twisted.python.failure import Failure

from modelserver.errors import BadRequest, InternalError, ServingError
from modelserver.http1 import responses
from modelserver.http1.head import Malformed, RequestHead
from modelserver.http1.states import ConnectionTransport, Mode, RequestHandler, cut_off
from modelserver.interfaces import Reply
from modelserver.jobs import Answer, Job, SharedSlot, bodies_of
from modelserver.language.attributes import define

BUSY = Mode.BUSY
"""Here because a look into an Enum costs as much as a call."""
BLOCKED_BY_ANSWERS = b"Java-http-client/"
"""
How the HttpClient of Java 17 names itself. Where it waits to be told to send a body, and is refused, its
caller waits for the answer's body for ever, whatever time-out it has set.
"""


class ExchangingConnection(Protocol):
    """
    What an exchange asks of its connection.

    :param is_full: the client takes no more of its answer now.
    :param streamed: bytes of parts of answers that were written so far.
    :param when_sent: calls once all that was written has been sent; None: the transport cannot tell.
    """

    transport: ConnectionTransport
    handler: RequestHandler
    remote: str
    mode: Mode
    is_full: bool
    streamed: int
    when_sent: Callable[[Callable[[], None]], object] | None

    def answered(
        self, head: RequestHead, code: int, arrived: float | None, request_id: bytes, must_close: bool
    ) -> None:
        """
        Go on with the next request, or close: the answer is written.

        :param arrived: when the request was whole, in the clock's seconds (monotonic); None: it never was.
        """

    def log_failure(self, failure: Failure) -> None:
        """Tell of a defect of the server."""


@define(eq=False)
class Exchange:
    """One request that a connection serves itself, and its answer: the observer of its job."""

    connection: ExchangingConnection
    head: RequestHead
    _job: Job | None = field(default=None, init=False)
    _is_begun: bool = field(default=False, init=False)
    """Whether a part of a streamed answer was sent."""

    @property
    def is_in_hand(self) -> bool:
        """Whether the request is whole, and not answered yet."""
        return self._job is not None

    @property
    def transport(self) -> ConnectionTransport:
        """What the answer is sent to."""
        return self.connection.transport

    def close_after(self) -> None:
        """Close the connection after the answer: the client sends no more."""
        # The head may be one that many connections share.
        self.head = evolve(self.head, closes=True)

    def begin(self, body: bytes | SharedSlot) -> None:
        """Have the request served, which is whole; the body is its job's, if it has become one."""
        connection = self.connection
        connection.mode = BUSY
        job = None
        try:
            job = self._job = connection.handler.predict(self.head, body, self)
        except ServingError as error:
            self.refuse(error)
        except Exception as error:
            connection.log_failure(Failure(error))
            self.refuse(InternalError())
        finally:
            if job is None and type(body) is SharedSlot:
                body.free()

    def withdraw(self) -> None:
        """Cancel the job: the client has left."""
        job, self._job = self._job, None
        if job is not None:
            self.connection.handler.withdraw(job)

    def resume(self) -> None:
        """Let a handler that was held send on: the client has read what was written."""
        if self._job is not None:
            self._job.resume()

    # What the job tells.

    def completed(self, job: Job, answer: Answer) -> None:
        """Send a handler's answer, or the last part of a streamed one."""
        self._job = None
        status, lines, body = answer
        connection, head, request = self.connection, self.head, job.request
        cors = connection.handler.cors
        must_close = False
        if self._is_begun:
            must_close = not head.minor
            data = bytes(body) if must_close else responses.chunk(body) + responses.LAST_CHUNK
            connection.streamed += len(data)
            connection.transport.write(data)
        elif len(body) >= responses.LARGE:
            self._send_large(job, answer)
        elif lines or status != 200 or cors or head.closes:
            connection.transport.write(responses.answer_head(request.id, answer, cors, head.closes) + body)
        else:
            connection.transport.write(responses.plain_answer(request.id, body))
        connection.answered(head, status, request.arrived, request.id, must_close)

    def _send_large(self, job: Job, answer: Answer) -> None:
        """Send a body without copying it; from shared memory, where the transport can tell when it has."""
        connection, body = self.connection, answer.body
        when_sent = connection.when_sent
        is_shared = isinstance(body, memoryview)
        if is_shared and when_sent is None:
            body = bytes(body)
        head = responses.answer_head(job.request.id, answer, connection.handler.cors, self.head.closes)
        connection.transport.writeSequence((head, body))
        if is_shared and when_sent is not None:
            slot = job.hand_over_place()
            if slot is not None:
                when_sent(slot.free)

    def next_parts(self, job: Job, parts: Sequence[Answer]) -> bool:
        """Send parts of a streamed answer, a chunk for each, in one write; clients of HTTP/1.0 know none."""
        connection, knows_chunks = self.connection, self.head.minor > 0
        pieces: list[bytes | bytearray | memoryview] = []
        if not self._is_begun:
            self._is_begun = True
            cors = connection.handler.cors
            pieces.append(
                responses.stream_head(job.request.id, parts[0], cors, knows_chunks, self.head.closes)
            )
        bodies = bodies_of(parts)
        if knows_chunks:
            pieces.append(responses.chunks(bodies))
        else:
            pieces += bodies
        data = b"".join(pieces)
        connection.streamed += len(data)
        connection.transport.write(data)
        return not connection.is_full

    def failed(self, job: Job, error: ServingError) -> None:
        """Say why there is no answer; a stream that has begun can only be cut off."""
        self._job = None
        connection, request = self.connection, job.request
        if self._is_begun:
            connection.handler.finished(connection.remote, self.head, 500, request.arrived, request.id)
            cut_off(connection.transport, self.head.minor > 0)
        else:
            reply = connection.handler.refused(error)
            self._send(reply, request.id, request.arrived, self._closes(reply))

    # What the server itself answers.

    def reply(self, value: Reply) -> None:
        """Send a dialect's reply."""
        self._send(value, self.connection.handler.new_id(), None, self._closes(value))

    def _closes(self, value: Reply) -> bool:
        return self.head.closes or value.code >= responses.FIRST_ERROR

    def refuse(self, error: ServingError | Malformed) -> None:
        """Say why the request is not served."""
        handler = self.connection.handler
        if isinstance(error, Malformed):
            self.reply(handler.refused(BadRequest(error.reason))._replace(code=error.code))
            return
        if self._is_held_up():
            self.connection.transport.write(responses.CONTINUE)
        self._send(handler.refused(error), handler.new_id(), None, True)

    def _is_held_up(self) -> bool:
        """Return whether the client reads the answer only if it was told to send its body before."""
        if self.connection.mode is not Mode.HEAD or not self.head.expects:
            return False
        return self.head.fields.get(b"user-agent", b"").startswith(BLOCKED_BY_ANSWERS)

    def _send(self, value: Reply, request_id: bytes, arrived: float | None, closes: bool) -> None:
        connection = self.connection
        connection.transport.write(responses.reply(request_id, value, closes, connection.handler.cors))
        connection.answered(self.head, value.code, arrived, request_id, closes)
