"""
HTTP connections: plain prediction requests are read here, everything else by Twisted Web.

Each request's head is read strictly, once. A plain request for a prediction, or a ping, is served without
a Twisted Web ``Request``; any other is replayed, byte for byte, to Twisted Web's own channel and reaches a
Klein route, which leads to the same use case.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from modelserver.errors import BadRequest, BodyTooLarge, InternalError, ServingError
from modelserver.http1 import responses
from modelserver.http1.body_reader import BodyChannel
from modelserver.http1.head import LONGEST_HEAD, Head, Malformed, without_empty_lines
from modelserver.http1.states import PHASES, Mode, Phase, host_of, is_secure, remote_of
from modelserver.interfaces import Reply
from modelserver.jobs import Answer, Job, SharedSlot

LONGEST_AHEAD = 16 * 1024
"""Bytes that a pipelining client may be ahead before it is read no further."""
MOST_AT_ONCE = 8
"""Pipelined requests that are answered in one turn, where each has its answer at once (pings)."""
HEAD, BUSY = Mode.HEAD, Mode.BUSY
"""Here because a look into an Enum costs as much as a call."""


class Channel(BodyChannel):
    """One connection. ``front`` and ``run_soon`` come from its site."""

    def connectionMade(self) -> None:
        """A client is here."""
        super().connectionMade()
        site = self.site
        self.front = site.front
        self.run_soon = site.run_soon
        self._memo: dict[bytes, Head] = site.heads.known if self.over is None else {}
        self._rest = b""
        self._head: Head | None = None
        self._job: Job | None = None
        self._begun = self._closes = False
        self._when_sent: Callable[[Callable[[], None]], object] | None = getattr(
            self.transport, "when_sent", None
        )
        self._unsent: Callable[[], int] = getattr(self.transport, "unsent", int)
        peer = self.transport.getPeer()
        self.host, self.remote = host_of(peer), remote_of(peer)
        site.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone, and with it its interest in an answer."""
        self.site.connections.discard(self)
        job, self._job = self._job, None
        if job is not None:
            self.front.withdraw(job)
        self._free_place()
        self._drop_body()
        self._release()
        super().connectionLost(reason)

    # What those who watch over connections ask.

    @property
    def phase(self) -> Phase:
        """What the client is expected to do next."""
        mode = self.mode
        if mode is Mode.HEAD:
            return Phase.HEAD if self._rest else Phase.IDLE
        if mode is Mode.STOCK:
            return Phase.BUSY if self._stock is not None and self._stock.is_whole else Phase.BODY
        return PHASES[mode]

    @property
    def received(self) -> int:
        """A number that grows with each byte of a body."""
        if self.mode is Mode.STOCK:
            return 0 if self._stock is None else self._stock.received
        return -self._missing

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        return self._unsent()

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        mode = self.mode
        if mode is HEAD:
            if self._rest:
                data = self._rest + data
            end = data.find(b"\r\n\r\n") + 4
            head = self._memo.get(data[:end])
            if head is not None and head.whole == len(data) and not self._waitingForTransport:
                # Exactly one request that is known: by far the most frequent case.
                self._rest = b""
                self._begin(head, data[end:])
            else:
                self._read_heads(data)
        elif mode is Mode.BODY:
            self._body.append(data)
            self._missing -= len(data)
            if self._missing <= 0:
                self._read_heads(self._end_body())
        elif mode is Mode.STOCK:
            super().dataReceived(data)
        elif mode is Mode.BUSY:
            self._rest += data
            if len(self._rest) > LONGEST_AHEAD:
                self.transport.pauseProducing()

    def _read_heads(self, data: bytes) -> None:
        """Serve what is whole in ``data``: a loop, since an answer may come before the next line is run."""
        self._rest = b""
        begun = 0
        # A client that does not read its answers is read no further (``resumeProducing``).
        while data and self.mode is Mode.HEAD and not self._waitingForTransport:
            if data.startswith(b"\r\n"):
                data = without_empty_lines(data)
                continue
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > LONGEST_HEAD:
                self._read_no_head(data)
                return
            block = data[:end]
            head = self._memo.get(block) or self._read_head(block)
            if head is None:
                return
            length = head.length
            if length is not None and length > self.front.max_request_size:
                self._head = head
                self.refuse(BodyTooLarge(self.front.max_request_size))
            elif not head.operation or length is None:
                self.mode = Mode.STOCK
                self._head, self.stock_since = head, self.front.now()
                # The head alone: Twisted Web copies what it has for each line of it.
                super().dataReceived(data[:end])
                if len(data) > end:
                    self.dataReceived(data[end:])
                return
            elif len(data) - end < length:
                self._expect_body(head, length, memoryview(data)[end:])
                return
            else:
                self._begin(head, self._kept(memoryview(data)[end : end + length]))
                data = data[end + length :]
                begun += 1
                if begun == MOST_AT_ONCE or len(data) > LONGEST_AHEAD:
                    break
        if self.mode is not Mode.LINGER:
            self._rest = data
            if len(data) > LONGEST_AHEAD or (data and begun == MOST_AT_ONCE and self.mode is Mode.HEAD):
                self._read_later()

    def _read_later(self) -> None:
        """A client that is far ahead waits; were it answered at once (pings), others would."""
        self.transport.pauseProducing()
        if self.mode is Mode.HEAD and not self._waitingForTransport:
            self.run_soon(self._read_on)

    def _read_no_head(self, data: bytes) -> None:
        self._rest = data
        if len(data) > LONGEST_HEAD:
            self._rest = b""
            code, what = (431, "head") if b"\r\n" in data[:LONGEST_HEAD] else (414, "line")
            self.refuse(Malformed(code, f"The request's {what} is longer than {LONGEST_HEAD} bytes."))

    def _read_head(self, block: bytes) -> Head | None:
        heads = self.site.heads
        try:
            head = heads.read(block) if self.over is None else heads.parse(block)
        except Malformed as error:
            self.refuse(error)
            return None
        if self.over is not None and self.front.is_prediction(head):
            self._head = head
            self.refuse(self.over)
            return None
        return head

    def _end_body(self) -> bytes:
        """The body is here: begin; returns what came behind it."""
        head = self._head
        assert head is not None and head.length is not None  # the mode says so
        body = b"".join(self._body)
        self._body = []
        self.mode = Mode.HEAD
        self._begin(head, body[: head.length])
        return self._rest + body[head.length :]

    def _begin(self, head: Head, body: bytes | SharedSlot) -> None:
        self._head, self._closes = head, head.closes
        self.mode = BUSY
        try:
            self._job = self.front.predict(head, body, self)
        except ServingError as error:
            if isinstance(body, SharedSlot):
                body.free()
            self._send_error(error, self.front.new_id(), None)
        except Exception as error:
            self.site.log_failure(Failure(error))
            self._send_error(InternalError(), self.front.new_id(), None)

    # Answering: the channel is the observer of its own jobs.

    def completed(self, job: Job, answer: Answer) -> None:
        """Send a handler's answer, or the last part of a streamed one."""
        self._job = None
        status, head, body = answer
        must_close = False
        if self._begun:
            self._begun = False
            must_close = not self._knows_chunks
            self.transport.write(bytes(body) if must_close else responses.chunk(body) + responses.LAST_CHUNK)
        elif len(body) >= responses.LARGE:
            self._send_large(job, answer)
        elif head or status != 200 or self.front.cors or self._closes:
            self.transport.write(
                responses.answer_head(job.request.id, answer, self.front.cors, self._closes) + body
            )
        else:
            self.transport.write(responses.plain_answer(job.request.id, body))
        self._end(status, job.request.arrived, job.request.id, must_close)

    def _send_large(self, job: Job, answer: Answer) -> None:
        """Send a body without copying it; from shared memory, where the transport can tell when it has."""
        body = answer.body
        is_shared = isinstance(body, memoryview)
        if is_shared and self._when_sent is None:
            body = bytes(body)
        head = responses.answer_head(job.request.id, answer, self.front.cors, self._closes)
        self.transport.writeSequence((head, body))
        if is_shared and self._when_sent is not None:
            place = job.hand_over_place()
            if place is not None:
                self._when_sent(place.free)

    @property
    def _knows_chunks(self) -> bool:
        """Whether the client does; for one of HTTP/1.0, a stream ends with the connection."""
        return self._head is None or self._head.minor > 0

    def next_part(self, job: Job, answer: Answer) -> bool:
        """Send one part of a streamed answer, as one chunk."""
        data = b""
        if not self._begun:
            self._begun = True
            data = responses.stream_head(
                job.request.id, answer, self.front.cors, self._knows_chunks, self._closes
            )
        part = responses.chunk(answer.body) if self._knows_chunks else bytes(answer.body)
        self.transport.write(data + part)
        return not self._waitingForTransport

    def resumeProducing(self) -> None:
        """The client has read what was written: a handler that was held may send on, requests are read."""
        super().resumeProducing()
        if self._job is not None:
            self._job.resume()
        if self._rest and self.mode is Mode.HEAD:
            self.run_soon(self._read_on)

    def failed(self, job: Job, error: ServingError) -> None:
        """Say why there is no answer; a stream that has begun can only be cut off."""
        self._job = None
        if self._begun:
            self.front.finished(self.remote, self._head, 500, job.request.arrived, job.request.id)
            self.transport.abortConnection()
        else:
            self._send_error(error, job.request.id, job.request.arrived)

    def reply(self, value: Reply) -> None:
        """Send a dialect's reply."""
        close = self._closes or value.code >= responses.FIRST_ERROR
        request_id = self.front.new_id()
        self.transport.write(responses.reply(request_id, value, close, self.front.cors))
        self._end(value.code, None, request_id)

    def _send_error(self, error: ServingError, request_id: bytes, arrived: float | None) -> None:
        value = self.front.refused(error)
        self.transport.write(responses.reply(request_id, value, True, self.front.cors))
        self._end(value.code, arrived, request_id)

    def _end(self, code: int, arrived: float | None, request_id: bytes, must_close: bool = False) -> None:
        """The answer is written: the next request, if it waits, is read; or the connection ends."""
        self.front.finished(self.remote, self._head, code, arrived, request_id)
        self.served += 1
        if self._reserved:
            self._release()
        if must_close or self._closes or code >= responses.FIRST_ERROR:
            self._linger()
            return
        self.mode = HEAD
        if self._rest:
            self.run_soon(self._read_on)

    def _read_on(self) -> None:
        if self.mode is Mode.HEAD:
            self._read_heads(self._rest)
        if not self._waitingForTransport and len(self._rest) <= LONGEST_AHEAD:
            self.transport.resumeProducing()

    def answered_by_twisted_web(self, code: int, request_id: bytes) -> None:
        """Twisted Web has written an answer."""
        self.front.finished(self.remote, self._head, code, self.stock_since, request_id)

    # Refusing.

    def refuse(self, error: ServingError | Malformed) -> None:
        """Answer a request that is not read any further, and close; only the first refusal counts."""
        if self.mode is Mode.LINGER:
            return
        if isinstance(error, Malformed):
            self.reply(self.front.refused(BadRequest(error.reason))._replace(code=error.code))
        else:
            self._send_error(error, self.front.new_id(), None)

    def evict(self) -> None:
        """A visitor makes room for another at once."""
        assert self.over is not None
        self.refuse(self.over)
        self.transport.loseConnection()

    def _linger(self) -> None:
        """Close so that the answer can be read: with unread bytes, a reset would end it (RFC 9112, 9.6)."""
        self.mode = Mode.LINGER
        self._rest = b""
        self._body = []
        self._drop_body()
        self._release()
        if is_secure(self.transport):
            self.transport.loseConnection()
        else:
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()
