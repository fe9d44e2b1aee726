"""gRPC over one connection: between a transport and an HTTP/2 engine, a turn of the event loop at a time."""

from __future__ import annotations

from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from modelserver.errors import ServerFull, ServingError
from modelserver.http1.head import Malformed
from modelserver.http1.states import ConnectionTransport, Phase, host_of, is_secure, remote_of, unsent_by
from modelserver.rpc.call import ServerCall
from modelserver.rpc.codes import Code
from modelserver.rpc.finished_calls import FinishedCalls
from modelserver.rpc.http2 import ConnectionBroken, EndedEngine, Http2Engine, last_words
from modelserver.rpc.intake import STEP, Intake
from modelserver.rpc.large_bodies import receive_large
from modelserver.rpc.lifetime import Ending, Lifetime
from modelserver.rpc.listener_context import RpcListener
from modelserver.rpc.message_streams import UNREAD_HIGH
from modelserver.rpc.outflow import Outflow
from modelserver.rpc.reception import Reception

QUEUE_HIGH = 64 << 10
"""Bytes of one call's answers that may wait for the client's window before its method is held."""


@implementer(IPushProducer)
class RpcConnection(Protocol):
    """
    One connection.

    :param limit_exceeded: the limit that this connection is over: its calls are refused with it.
    :param ordinal: how many connections the listener has had before.
    """

    transport: ConnectionTransport  # type: ignore[assignment]  # what the server's transports have beyond ITransport
    engine: Http2Engine

    def __init__(
        self, listener: RpcListener, limit_exceeded: ServerFull | None = None, ordinal: int = 0
    ) -> None:
        self._listener = listener
        self.status_of = listener.site.status_of
        self.limit_exceeded = limit_exceeded
        self._ordinal = ordinal
        self.body_bytes = self.answer_bytes = 0
        self.is_full = self.refuses = False  # the first: the client takes no more of its answers now
        self._is_ready = self._is_closing = self._is_lost = self._is_flushing = self._is_to_read = False
        self.rest = b""
        """What came and is not read."""
        self._over = FinishedCalls(listener)
        self._has_answered = False
        """Whether something was answered since the last sending."""
        self._waiting: set[ServerCall] = set()

    def connectionMade(self) -> None:
        """Take the transport, and say our settings."""
        transport, listener = self.transport, self._listener
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        transport.registerProducer(self, True)
        peer = transport.getPeer()
        self.host, self.remote, self.secure = host_of(peer), remote_of(peer), is_secure(transport)
        self.now = listener.clock.seconds()
        self.outflow = Outflow(transport, self.secure)
        self.reception = Reception(self, listener)
        self.engine = self.outflow.engine = listener.make_engine(self.reception, listener.http2)
        self.intake = Intake(self.reception, self.engine)
        self.lifetime = Lifetime(self, listener.limits, self.now, self._ordinal)
        self._transport_unsent, self._transport_left = unsent_by(transport)
        receive_large(self, transport, listener)
        listener.connections.add(self)
        listener.open.add(self)
        self.engine.start()
        self.flush()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let go of everything: the client is gone, and with it its interest in answers."""
        self._is_lost = True
        self._listener.connections.discard(self)
        self._listener.open.discard(self)
        self._waiting.clear()
        self.reception.lost()
        # These know the connection: memory would wait for the garbage collector.
        self.engine = EndedEngine()
        self._over.note()
        self.outflow.lost()
        del self.reception.streams, self.reception, self.intake, self.lifetime

    # What those who watch over connections ask.

    @property
    def phase(self) -> Phase:
        """What the client is expected to do next; one that asks nothing may stay."""
        if self._is_closing:
            return Phase.LINGER
        if not self._is_ready:
            return Phase.HEAD
        return Phase.BUSY if self.lifetime.ending is Ending.OPEN or self.reception.calls else Phase.IDLE

    @property
    def served(self) -> int:
        """How many calls are over."""
        return self._over.count

    @property
    def received(self) -> int:
        """A number that grows by one with each byte of a body."""
        return self.body_bytes

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken yet."""
        return self._transport_unsent() + self._queued()

    @property
    def left(self) -> int:
        """The same, with what the system has taken for the client."""
        return self._transport_left() + self._queued()

    def _queued(self) -> int:
        return self.engine.queued() + self.outflow.size

    @property
    def taken(self) -> int:
        """A number that grows with each byte that the client takes of what it has not taken yet."""
        return self.answer_bytes - self.unsent

    def refuse(self, error: ServingError | Malformed) -> None:
        """Close: the client does not speak HTTP/2, or not in time."""
        self.blame("refused", str(error))
        self.abort()

    def finish(self) -> None:
        """Close after the calls in hand."""
        if not self._is_lost:
            self.lifetime.drain(self._listener.clock.seconds())

    def close(self) -> None:
        """Close when everything is written, and the client has read it; the second time, at once."""
        if self._is_lost:
            return
        if self._is_closing:
            self.transport.loseConnection()
            return
        self.flush()
        if not self._is_closing:
            self.close_now(self._is_ready)

    def abort(self) -> None:
        """Close now; clients that read are told so first, call by call. The second time, at once."""
        if self._is_lost:
            return
        if not self._is_closing and not self.is_full:
            self._is_flushing = True  # once, below
            for call in list(self.reception.calls.values()):
                call.give_up(Code.UNAVAILABLE, "The server closes the connection.", Code.CANCELLED)
            self.close()
            if not self._transport_unsent():
                return
        self._is_closing = True
        self.transport.abortConnection()

    def sweep(self, now: float) -> None:
        """Look at the connection's age, its client, and calls that come too slowly."""
        if self._is_lost or self._is_closing:
            return
        self.reception.sweep(now, self._listener)
        self.lifetime.check(now, len(self.reception.calls), self.served)

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Read what has come."""
        if self._is_closing:
            return
        if self.rest or self.reception.streams.behind:
            self._keep(self.rest + data)
            return
        self.lifetime.heard = self.now = self._listener.clock.seconds()
        self._read(data)

    def _read(self, data: bytes) -> None:
        """Read, and send what was answered: once, at the end."""
        self._is_flushing = True
        unread = self._listener.limits.unread
        self.refuses = self.limit_exceeded is not None or (unread > 0 and self._queued() > unread)
        streams = self.reception.streams
        try:
            streams.begin_turn()
            rest = data if streams.behind else self.intake.read(data)
        except ConnectionBroken as error:
            self._break(error)
            return
        timed = self.reception.timed
        if timed:
            self._listener.watch(timed)
        self.flush()
        if (rest or streams.behind) and not self._is_closing:
            self._keep(rest)

    def _keep(self, rest: bytes) -> None:
        """Read on soon, and take no more before that, if it is much."""
        self.rest = rest
        if len(rest) > STEP:
            self.transport.pauseProducing()
        self._read_soon()

    def _read_soon(self) -> None:
        """Read on in the next turn: once, whoever asks for it."""
        if not self._is_to_read:
            self._is_to_read = True
            self._listener.run_soon(self._read_on)

    def _read_on(self) -> None:
        self._is_to_read = False
        if self._is_lost or self._is_closing or self.is_full:
            return
        rest, self.rest = self.rest, b""
        self.now = self._listener.clock.seconds()
        self._read(rest)
        if not self.rest and not self._is_closing and not self._is_lost and not self.is_full:
            self.transport.resumeProducing()

    # Writing.

    def flush(self) -> None:
        """Send what there is, as far as the client reads it."""
        self._is_flushing = False
        if not self._is_closing and not self._is_lost:
            self._send()
        if self._over.waiting:
            self._over.note()

    def _send(self) -> None:
        if self._has_answered:
            self._has_answered = False
            self.lifetime.answered()
        write_some, may_share = self.outflow.write_some, self.intake.is_between
        try:
            while not self.is_full and write_some(may_share):
                pass
        except ConnectionBroken as error:
            self._break(error)
            return
        if self.is_full:
            return
        if self.reception.passing.updates:
            passing = self.reception.passing
            updates, passing.updates = passing.updates, b""
            self.transport.write(updates)  # the engine has no frame half out
        if self.reception.half and self.intake.stop_halves():
            self.flush_soon()
        if self._waiting:
            self._wake()
        if self.lifetime.ending is Ending.LAST and not self.reception.calls and not self._is_flushing:
            self.close_now()

    def flush_soon(self) -> None:
        """Send at the end of this turn."""
        if not self._is_flushing:
            self._is_flushing = True
            self._listener.run_soon(self.flush)

    def _wake(self) -> None:
        """Let methods send on whose answers were taken."""
        queued = self.engine.queued
        for call in list(self._waiting):
            if call.is_over or queued(call.stream) <= QUEUE_HIGH // 2:
                self._waiting.discard(call)
                if call.on_resume is not None and not call.is_over:
                    call.on_resume()

    def pauseProducing(self) -> None:
        """Send no more, and read nothing: the client does not read its answers."""
        self.is_full = True
        self._listener.connections.note_full(self)
        if self._is_ready:  # until then it may be TLS that cannot write yet: its handshake has to be read
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Send and read on: the client has read what was written."""
        self.is_full = False
        if self._is_lost or self._is_closing:
            return
        self.flush()
        if self._is_closing or self.is_full:
            return
        if self.rest or self.reception.streams.behind:
            self._read_soon()
        else:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """Send no more: the client is gone."""

    # What calls ask.

    def part_sent(self, call: ServerCall) -> bool:
        """Have a message leave; return whether the call may send on, else it is told when."""
        self._has_answered = True
        self.intake.halves = False
        self.flush_soon()
        if self.is_full or self.engine.queued(call.stream) > QUEUE_HIGH:
            self._waiting.add(call)
            self._listener.connections.note_full(self)
            return False
        return True

    def finished(self, call: ServerCall, code: Code) -> None:
        """Have the end of a call leave."""
        if self._is_lost:
            return
        self._has_answered = True
        if not call.is_whole or (call.leaves_something and call.is_end_unseen):
            self.reception.release_window(call)
            self.reception.half[call.stream] = call
            call.leaves_something = True
        self._over.add(call, code)
        if not self._is_flushing:
            self.flush_soon()

    def cancelled(self, call: ServerCall) -> None:
        """Note that a call is over without its method's doing."""
        self._waiting.discard(call)
        self._over.add(call, Code.CANCELLED)

    def consumed(self, call: ServerCall) -> None:
        """Let the client send on, where its messages were taken."""
        if call.unread > UNREAD_HIGH or self._is_lost:
            return
        if call.is_behind:
            self.reception.streams.resume(call)
            self._read_soon()
        else:
            self.reception.release_window(call)
            self.flush_soon()

    def refusal(self) -> ServingError:
        """Return why no more calls are served now."""
        if self.limit_exceeded is not None:
            self.lifetime.drain(self.now)  # another connection may find room
            return self.limit_exceeded
        return ServerFull("", None, self._listener.limits.unread, "response_memory")

    # What the engine tells.

    def pinged(self) -> None:
        """Count a ping, or settings, which are answered already."""
        self.lifetime.pinged(self.now)

    def ponged(self, data: bytes) -> None:
        """Note a sign of life."""
        self.lifetime.ponged(data)

    def ready(self) -> None:
        """Note that the client does speak HTTP/2."""
        self._is_ready = self.outflow.is_ready = True

    # The end.

    def client_leaves(self) -> None:
        """Close after the calls in hand."""
        self.lifetime.client_leaves()

    def blame(self, name: str, reason: str) -> None:
        """Write down what the client has done."""
        self._listener.ended.note(self.remote, name, reason)

    def close_now(self, has_answers: bool = True) -> None:
        """
        Send no more, and read on until the client closes, or for its time: nothing is left to do.

        Were it closed, a reset would answer what the client still sends, such as windows, and end what is on
        its way. Some clients that see the end of it read no further.

        :param has_answers: else it is closed for writing at once.
        """
        self._is_closing = True
        self.rest = b""
        self.outflow.lost()  # what the client had no room for is not kept while it lingers
        self.engine, self.intake = self.outflow.engine, Intake(self.reception, self.outflow.engine)
        self.transport.unregisterProducer()  # Twisted's TLS waits for the producer to end
        if not has_answers and not self.secure:
            self.transport.loseWriteConnection()
        self.transport.resumeProducing()

    def _break(self, error: ConnectionBroken) -> None:
        """Close: the engine is done for, and if it cannot say so, its client is told by hand."""
        self.blame("broken", error.reason)
        if error.code is not None and not self.is_full:
            self.transport.write(last_words(self.reception.highest, error.code, error.reason))
        is_full = self.is_full
        self.close_now(has_answers=False)
        self.reception.lost()
        self._over.note()
        if is_full:
            self.transport.abortConnection()
