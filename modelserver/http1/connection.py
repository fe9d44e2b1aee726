"""
HTTP connections: plain prediction requests are read here, everything else by Twisted Web.

Each request's head is read strictly, once. A plain request for a prediction, or a ping, is served without
a Twisted Web ``Request``; any other is fed, byte for byte, to a channel of Twisted Web's that is made for it,
and reaches a Klein route, which leads to the same use case.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import evolve
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from modelserver.errors import BodyTooLarge, ServerFull, ServingError
from modelserver.http1.body_reader import BodyReader, free_body
from modelserver.http1.exchange import Exchange
from modelserver.http1.head import LONGEST_HEAD, UNREAD, Malformed, RequestHead, part_error, skip_empty_lines
from modelserver.http1.listener_context import ListenerContext
from modelserver.http1.responses import CONTINUE, FIRST_ERROR
from modelserver.http1.states import (
    PHASES,
    ConnectionTransport,
    Mode,
    Phase,
    host_of,
    is_secure,
    remote_of,
    unsent_by,
)
from modelserver.jobs import SharedSlot

if TYPE_CHECKING:
    from modelserver.http1.twisted_web import TwistedWebBridge

LONGEST_AHEAD = 16 * 1024
"""Bytes that a pipelining client may be ahead before it is read no further."""
MOST_AT_ONCE = 8
"""Pipelined requests that are answered in one turn, where each has its answer at once (pings)."""
# Here because a look into an Enum costs as much as a call.
HEAD, BODY, BUSY, TWISTED_WEB, LINGER = Mode.HEAD, Mode.BODY, Mode.BUSY, Mode.TWISTED_WEB, Mode.LINGER


@implementer(IPushProducer)
class Connection(Protocol):
    """
    One connection. It reads requests, one after the other, and has each served: by an ``Exchange``, or by
    Twisted Web through a bridge.

    :param limit_exceeded: the limit that this connection is over: it may ask once, for anything but a
        prediction.
    """

    transport: ConnectionTransport  # type: ignore[assignment]  # what the server's transports have beyond ITransport

    def __init__(self, listener: ListenerContext, limit_exceeded: ServerFull | None = None) -> None:
        self._listener = listener
        self.handler = listener.handler
        self.run_soon, self.log_failure = listener.run_soon, listener.log_failure
        self.limit_exceeded = limit_exceeded
        self.mode = HEAD
        self.served = 0
        self.is_full = False
        """Whether the client takes no more of its answers now."""
        self.streamed = 0
        """Bytes of parts of answers so far."""
        self._is_ending = False
        """Whether the client sends no more, and whether this connection is to end with its next answer."""
        # What such a connection asks may not be what others are answered.
        self._known: dict[bytes, RequestHead] = listener.heads.known if limit_exceeded is None else {}
        self._rest = b""
        self._exchange: Exchange | None = None
        self._bridge: TwistedWebBridge | None = None

    def connectionMade(self) -> None:
        """Take the transport."""
        transport, listener = self.transport, self._listener
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        self.when_sent: Callable[[Callable[[], None]], object] | None = getattr(transport, "when_sent", None)
        self._unsent, self._left = unsent_by(transport)
        fill = getattr(transport, "fill", None)
        self._body = BodyReader(listener.memory, self.handler.slots, fill, self._body_completed, self.refuse)
        self.reserve = self._body.reserve
        peer = transport.getPeer()
        self.host, self.remote = host_of(peer), remote_of(peer)
        listener.connections.add(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything: the client is gone, and with it its interest in answers, of any request."""
        self._listener.connections.discard(self)
        self.mode, self._rest = LINGER, b""
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.withdraw()
        self._body.connection_lost()
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            bridge.connection_lost(reason)

    # What those who watch over connections ask.

    @property
    def phase(self) -> Phase:
        """What the client is expected to do next."""
        mode = self.mode
        if mode is HEAD:
            return Phase.HEAD if self._rest else Phase.IDLE
        if mode is TWISTED_WEB:
            return Phase.BUSY if self._bridge is not None and self._bridge.is_whole else Phase.BODY
        return PHASES[mode]

    @property
    def received(self) -> int:
        """A number that grows by one with each byte of a body."""
        return -self._body.missing if self._bridge is None else self._bridge.received

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        return self._unsent()

    @property
    def left(self) -> int:
        """The same, with what the system has taken for the client."""
        return self._left()

    @property
    def taken(self) -> int:
        """A number that grows with each byte that the client takes of what it has not taken yet."""
        return self.streamed - self._unsent()

    def finish(self) -> None:
        """Close after the request in hand, or else after the next one."""
        self._known, self._is_ending = {}, True  # heads that are known say nothing of an end
        request = self._exchange if self.mode is BUSY else self._bridge
        if request is not None and request.is_in_hand and not self._rest:
            request.close_after()

    def close(self) -> None:
        """Close when everything is written."""
        if not self.transport.disconnecting:
            # Twisted's TLS waits for the producer to end.
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def abort(self) -> None:
        """Close now."""
        self.transport.abortConnection()

    def _close_when_sent(self) -> None:
        """Close, where it is TLS that does so only when all is sent: it gives a client 30 s for that."""
        if self.when_sent is not None and self._unsent():
            self.when_sent(self.close)
        else:
            self.close()

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Read what has come."""
        mode = self.mode
        if mode is HEAD:
            if self._rest:
                data = self._rest + data
            end = data.find(b"\r\n\r\n") + 4
            head = self._known.get(data[:end])
            if head is not None and head.whole == len(data) and not self.is_full:
                # Exactly one request that is known: by far the most frequent case.
                self._rest = b""
                self._exchange = exchange = Exchange(self, head)
                exchange.begin(data[end:])
            else:
                self._read_heads(data)
        elif mode is BODY:
            self._body.add(data)
        elif mode is TWISTED_WEB and self._bridge is not None and not self._bridge.is_whole:
            self._bridge.body_received(data)
        elif mode is not LINGER:
            self.keep(data)

    def keep(self, data: bytes) -> None:
        """Keep what came behind a request until the request is answered."""
        self._rest += data
        if len(self._rest) > LONGEST_AHEAD:
            self.transport.pauseProducing()

    def _read_heads(self, data: bytes) -> None:
        """Serve what is whole in ``data``: a loop, since an answer may come before the next line is run."""
        self._rest = b""
        begun = 0
        # A client that does not read its answers is read no further (``resumeProducing``).
        while data and self.mode is HEAD and not self.is_full:
            if data.startswith(b"\r\n"):
                data = skip_empty_lines(data)
                continue
            found = self._next_head(data)
            if found is None:
                return
            rest = self._dispatch(*found, data)
            if rest is None:
                return
            data = rest
            begun += 1
            if begun == MOST_AT_ONCE or len(data) > LONGEST_AHEAD:
                break
        self._stop_reading(data, begun == MOST_AT_ONCE)

    def _next_head(self, data: bytes) -> tuple[RequestHead, int] | None:
        """Return the head at the start of ``data`` and where it ends; None: not whole yet, or refused."""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4 or end > LONGEST_HEAD:
            self._rest = data
            error = part_error(data)
            if error is not None:
                self.refuse(error)
            return None
        block = data[:end]
        head = self._known.get(block) or self._parse(block)
        return None if head is None else (head, end)

    def _dispatch(self, head: RequestHead, end: int, data: bytes) -> bytes | None:
        """
        Have the request at the start of ``data`` served.

        :param end: where its head ends.
        :return: what follows the request, or None: it has more to come, is refused, or took it all.
        """
        length = head.length
        if length is not None and length > self.handler.max_request_size:
            Exchange(self, head).refuse(BodyTooLarge(self.handler.max_request_size))
        elif head.operation is None:
            self._hand_over(head, data, end)
        elif length is None:
            self._expect_chunks(head, data[end:])
        elif len(data) - end < length:
            if head.expects:
                self.transport.write(CONTINUE)
            self._expect_body(head, length, memoryview(data)[end:])
        else:
            body = self._body.keep(memoryview(data)[end : end + length])
            self._exchange = exchange = Exchange(self, head)
            exchange.begin(body)
            return data[end + length :]
        return None

    def _stop_reading(self, data: bytes, is_turn_over: bool) -> None:
        """Keep what is not read yet; a client that is far ahead waits, so that others are answered."""
        if self.mode is LINGER:
            return
        self._rest = data
        if len(data) > LONGEST_AHEAD or (data and is_turn_over and self.mode is HEAD):
            self.transport.pauseProducing()
            if self.mode is HEAD and not self.is_full:
                self.run_soon(self._read_on)

    def _parse(self, block: bytes) -> RequestHead | None:
        """Return a head that is new here; None: it is refused."""
        heads, limit = self._listener.heads, self.limit_exceeded
        try:
            head = heads.read(block) if limit is None else heads.parse(block)
        except Malformed as error:
            self.refuse(error)
            return None
        if limit is not None and self.handler.is_prediction(head):
            Exchange(self, head).refuse(limit)
            return None
        return evolve(head, closes=True) if self._is_ending else head

    def _read_on(self) -> None:
        if self.mode is HEAD:
            self._read_heads(self._rest)
        if not self.is_full and len(self._rest) <= LONGEST_AHEAD:
            self.transport.resumeProducing()

    # Bodies.

    def _expect_body(self, head: RequestHead, length: int, first: memoryview) -> None:
        self._exchange = Exchange(self, head)
        self.mode = BODY
        self._body.begin(length, first)

    def _expect_chunks(self, head: RequestHead, first: bytes) -> None:
        self._exchange = Exchange(self, head)
        self.mode = BODY
        self._body.begin_chunks(self._listener.turns, self.handler.max_request_size, self.transport)
        if first:
            self._body.add(first)
        elif head.expects:
            self.transport.write(CONTINUE)

    def _body_completed(self, body: bytes | SharedSlot, rest: bytes) -> None:
        """Begin the request, and read what came behind it."""
        exchange = self._exchange
        if exchange is None or self.mode is LINGER:  # it came too slowly, say
            free_body(body, rest)
            return
        self.mode = HEAD
        exchange.begin(body)
        if rest:
            self._read_heads(self._rest + rest)

    # Twisted Web's requests.

    def _hand_over(self, head: RequestHead, data: bytes, end: int) -> None:
        """Have Twisted Web read a request; the first one waits until it is loaded."""
        from modelserver.http1.twisted_web import TwistedWebBridge

        self.mode = TWISTED_WEB
        self._exchange = Exchange(self, head)  # should the request be refused
        self._bridge = TwistedWebBridge(self, self._listener, head)
        self._bridge.begin(data[:end])
        if len(data) > end:
            self.dataReceived(data[end:])

    def bridge_done(self, is_persistent: bool) -> None:
        """Go on with the next request, or close: Twisted Web has answered."""
        self._bridge = self._exchange = None
        self.mode = HEAD
        self.served += 1
        self._body.release()
        if not is_persistent:
            self._rest = b""
            self.close()
            return
        if not self.is_full:
            self.transport.resumeProducing()
        if self._rest:
            self.run_soon(self._read_on)

    # The transport's producer.

    def pauseProducing(self) -> None:
        """Send no more, and read no further requests: the client does not read its answers."""
        self.is_full = True
        self._listener.connections.note_full(self)
        if self._bridge is not None:
            self._bridge.pause_answer()
        if self._bridge is None or not self._bridge.is_whole:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Send and read on: the client has read what was written."""
        self.is_full = False
        if self._bridge is not None:
            self._bridge.resume_answer()
        if self._bridge is None or not self._bridge.is_whole:
            self.transport.resumeProducing()
        if self._exchange is not None:
            self._exchange.resume()
        if self._rest and self.mode is HEAD:
            self.run_soon(self._read_on)

    def stopProducing(self) -> None:
        """Send no more: the client is gone."""
        if self._bridge is not None:
            self._bridge.stop_answer()

    # The end of a request.

    def answered(
        self, head: RequestHead, code: int, arrived: float | None, request_id: bytes, must_close: bool
    ) -> None:
        """Read the next request, if it waits, or close: the answer is written."""
        self.handler.finished(self.remote, head, code, arrived, request_id)
        self.served += 1
        self._exchange = None
        if self._body.reserved:
            self._body.release()
        if must_close or head.closes or code >= FIRST_ERROR:
            self._linger()
            return
        self.mode = HEAD
        if self._rest:
            self.run_soon(self._read_on)

    def refuse(self, error: ServingError | Malformed) -> None:
        """Answer a request that is not read any further, and close; only the first refusal counts."""
        if self.mode is not LINGER:
            (self._exchange or Exchange(self, UNREAD)).refuse(error)

    def _linger(self) -> None:
        """Close so that the answer can be read: with unread bytes, a reset would end it (RFC 9112, 9.6)."""
        self.mode, self._rest = LINGER, b""
        self._body.drop_pieces()
        if self._bridge is not None:
            self._bridge.drop_body()
        self._body.release()
        if is_secure(self.transport):
            self._close_when_sent()
        else:
            self.transport.unregisterProducer()  # Twisted would have it go on instead of closing
            self.transport.loseWriteConnection()
            self.transport.resumeProducing()
