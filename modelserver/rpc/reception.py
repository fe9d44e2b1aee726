"""What comes on a connection: requests and bodies become calls, and messages for their methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.python.failure import Failure

from modelserver.errors import BadRequest, DeadlinePassed, ServerFull, ServingError
from modelserver.rpc.call import CallingConnection, GiveMessage, ServerCall
from modelserver.rpc.codes import CallRefused, CallStatus, Code
from modelserver.rpc.http2 import ConnectionBroken, ErrorCode, StreamGone
from modelserver.rpc.intake import MOST_EVENTS
from modelserver.rpc.large_message import LargeMessage
from modelserver.rpc.lifetime import Allowance
from modelserver.rpc.listener_context import RpcListener
from modelserver.rpc.message_streams import MessageStreams
from modelserver.rpc.outflow import Outflow
from modelserver.rpc.passing import Passage, Passing
from modelserver.rpc.request_fields import RequestFields
from modelserver.rpc.wire import fields as wire
from modelserver.rpc.wire.codings import IDENTITY, decode
from modelserver.rpc.wire.messages import PREFIX, MessageCutter, beginning_of_one

NOWHERE = memoryview(b"")
UNPACKED_PER_EVENT = 4096
"""Bytes of compressed messages that cost about as much as an event."""


class ReceivingConnection(CallingConnection, Protocol):
    """
    What reception asks of its connection.

    :param now: the clock's seconds (monotonic) at the beginning of this turn.
    :param body_bytes: of bodies, so far.
    :param refuses: whether no more calls are served now.
    """

    now: float
    body_bytes: int
    refuses: bool
    outflow: Outflow

    def cancelled(self, call: ServerCall) -> None:
        """Note that a call is over without its method's doing."""

    def refusal(self) -> ServingError:
        """Return why no more calls are served now."""

    def pinged(self) -> None:
        """A ping came, and is answered; or settings."""

    def ponged(self, data: bytes) -> None:
        """The answer to a ping came."""

    def ready(self) -> None:
        """The client does speak HTTP/2."""

    def client_leaves(self) -> None:
        """The client will begin no more calls."""


class Reception:
    """
    The calls of one connection, and what comes for them. It is what the engine tells.

    :param calls: by stream, until the engine says that the stream is closed.
    :param timed: those that have a deadline, and have begun in this turn.
    :param half: calls that are answered whose requests are not whole, for the engine at least.
    :param highest: the last stream that has begun.
    :param passing: those whose bodies do not come by the engine.
    :param streams: those with many messages.
    """

    def __init__(self, connection: ReceivingConnection, listener: RpcListener) -> None:
        self._connection = connection
        self._site = listener.site
        self._known = listener.known
        # Of the last usual call: to compare with them costs less than to look them up.
        self._usual_fields: tuple[tuple[bytes, bytes], ...] = ()
        self._usual: RequestFields | None = None
        self._give_usual: GiveMessage | None = None
        self._begin = listener.site.begin
        self._largest = listener.site.largest
        self._most = PREFIX + self._largest
        self._memory = listener.memory
        self._slots = listener.slots
        self._most_fields = listener.limits.fields
        self._resets = Allowance(*listener.http2.resets)
        self.calls: dict[int, ServerCall] = {}
        self.timed: list[ServerCall] = []
        self.half: dict[int, ServerCall] = {}
        self.passing = Passing(listener.http2, NOWHERE if listener.slots is None else listener.slots.memory)
        self.streams = MessageStreams(connection, self, listener.memory, listener.site.largest)
        self.outflow = connection.outflow
        self.highest = 0
        self._cost = 0
        self.pinged, self.ponged = connection.pinged, connection.ponged
        self.ready, self.ended = connection.ready, connection.client_leaves

    # What the engine tells.

    def requested(self, stream: int, fields: tuple[tuple[bytes, bytes], ...], ended: bool) -> None:
        """Begin a call, or refuse it."""
        self.highest = stream
        connection, usual = self._connection, self._usual
        if usual is not None and fields == self._usual_fields and not (ended or connection.refuses):
            self.calls[stream] = ServerCall(connection, stream, usual, connection.now, self._give_usual)
            return
        read, wait = self._known[fields]
        if read.is_usual and wait is None and read.method is not None:
            self._usual_fields, self._usual, self._give_usual = fields, read, read.method.message
        call = self.calls[stream] = ServerCall(connection, stream, read, connection.now)
        if read.is_usual and wait is None and not (ended or connection.refuses):
            call.give = self._give_usual
            return
        method = read.method
        try:
            if not read.is_plain:
                if self._is_no_call(call):
                    return
                wire.check(call.known, fields, self._most_fields)
            self._admit(call)
            if wait is not None:
                call.deadline = connection.now + wire.timeout_of(wait)
                self.timed.append(call)
            self._begin(call, method)  # type: ignore[arg-type]  # _admit has refused calls of no method
            if method.streams_in:  # type: ignore[union-attr]  # likewise
                method.begin(call)  # type: ignore[union-attr]  # likewise
            else:
                call.give = method.message  # type: ignore[union-attr]  # likewise
        except Exception as error:
            call.is_whole = ended
            self.fail(call, error)
            return
        if ended:
            self.body_came(stream, b"", True)

    def _is_no_call(self, call: ServerCall) -> bool:
        """Answer a request that is not gRPC's with an HTTP status, and return whether it is one."""
        status = wire.http_refusal(call.known)
        if status is None:
            return False
        call.is_over = True
        try:
            self._connection.engine.answer_head(call.stream, [(b":status", b"%d" % status)], True)
        except StreamGone:
            pass
        self._connection.finished(call, Code.UNKNOWN)
        return True

    def _admit(self, call: ServerCall) -> None:
        """
        Check what has nothing to do with the method's own.

        :raises CallRefused: there is no such method.
        :raises ServingError: nothing is served now.
        """
        if self._connection.refuses:
            raise self._connection.refusal()
        if call.rpc_method is None:
            raise CallRefused(Code.UNIMPLEMENTED, f"Method not found: {call.method.lstrip('/')}")

    def body_came(self, stream: int, data: bytes, ended: bool) -> None:
        """Take a piece of a call's body."""
        call = self.calls.get(stream)
        if call is None or call.is_over:
            self._drop(call, stream, len(data), ended)
            return
        size, connection, give = len(data), self._connection, call.give
        connection.body_bytes += size
        call.received += size
        try:
            if give is None:
                self.streams.read(call, data, ended)
                if ended and call.is_over:
                    self.half.pop(stream, None)
                return
            if size:
                connection.engine.consumed(stream, size)
            if ended and call.received == size <= self._most and data[:PREFIX] == beginning_of_one(size):
                # A whole message in one piece: nearly all.
                call.is_whole = True
                if call.deadline is not None:
                    self._check_time(call, call.deadline)
                give(call, data[PREFIX:])
            else:
                self._read_only(call, give, data, ended)
        except Exception as error:
            self.fail(call, error)

    def _drop(self, call: ServerCall | None, stream: int, size: int, ended: bool) -> None:
        """Take a piece of a body for which nobody waits."""
        if size:
            self._connection.engine.consumed(stream, size)
        if call is None:
            return
        if call.large is not None:
            call.large.skip(size)
        if ended:
            call.is_whole = True
            if not call.is_end_unseen:
                self.half.pop(stream, None)

    def was_reset(self, stream: int) -> None:
        """
        Count what a client takes back.

        :raises ConnectionBroken: it is too much.
        """
        if not self._resets.take(self._connection.now):
            raise ConnectionBroken(ErrorCode.ENHANCE_YOUR_CALM, "too many calls were cancelled")

    def closed(self, stream: int) -> None:
        """Forget a call; if it is not answered, its client has left."""
        call = self.calls.pop(stream, None)
        if call is None or (call.is_over and not call.leaves_something):
            return
        if self.half:
            self.half.pop(stream, None)
        if self.passing.calls:
            self.passing.forget(stream)
        if self.outflow.waiting:
            self.outflow.drop(stream)
        if call.held:
            self.release_window(call)
        if not call.is_over:
            self._cancel(call, Code.CANCELLED)

    # Messages.

    def _read_only(self, call: ServerCall, give: GiveMessage, data: bytes, ended: bool) -> None:
        """Read on in the body of a call that has one message."""
        self.reserve(call, len(data))
        if call.large is not None:
            call.large.add(data)
        elif call.reader is None and self._slots is not None:
            call.large = LargeMessage.begin(data, self._slots, self._largest)
            if call.large is not None:
                self.passing.expect(call, call.large)
        if call.large is not None:
            if ended:
                call.is_whole = True
                self._deliver(call, give, call.large.whole())
                call.large.free()
            return
        reader = call.reader
        if reader is None:
            reader = call.reader = MessageCutter(self._largest)
        for flag, message in reader.feed(data):
            if call.whole is not None:
                raise BadRequest("The call has more than one message, where its method takes one.")
            call.whole = self.plain(call, flag, message)
        if ended:
            call.is_whole = True
            if reader.is_partial or call.whole is None:
                raise BadRequest("The call ends within its message." if reader.is_partial else "No message.")
            whole, call.whole = call.whole, None
            self._deliver(call, give, whole)

    def large_came(self, passages: Sequence[Passage]) -> None:
        """Count bytes of messages that lie where the worker will read them; they came past the engine."""
        for passage in passages:
            call, size = passage.call, passage.taken
            if call.is_over:
                continue
            self._connection.body_bytes += size
            call.received += size
            try:
                self.reserve(call, size)
            except ServerFull as error:
                self.fail(call, error)

    def reserve(self, call: ServerCall, size: int) -> None:
        """
        Claim memory for what has come, until the call is over, or a stream's message is its method's.

        :raises ServerFull: there is not enough.
        """
        call.leaves_something = True
        if not self._memory.take(size):
            raise ServerFull("", None, self._memory.limit, "request_memory")
        call.reserved += size

    def _deliver(self, call: ServerCall, give: GiveMessage, message: bytes | memoryview) -> None:
        if call.deadline is not None:
            self._check_time(call, call.deadline)
        give(call, message)

    def _check_time(self, call: ServerCall, deadline: float) -> None:
        """
        Look whether a call's client still waits.

        :raises DeadlinePassed: it does not.
        """
        now = self._connection.now
        if deadline <= now:
            raise DeadlinePassed(now - call.arrived)

    def plain(self, call: ServerCall, flag: int, message: bytes) -> bytes:
        """
        Return a message as it was before it was compressed.

        :raises CallRefused: its coding is not named, or is not known.
        :raises BadRequest: it cannot be unpacked.
        :raises BodyTooLarge: it is larger than messages may be.
        """
        if not flag:
            return message
        coding = call.known.get(b"grpc-encoding", IDENTITY)
        if coding == IDENTITY:
            raise CallRefused(Code.INTERNAL, "A message is marked as compressed, but no coding is named.")
        plain = decode(message, coding, self._largest)
        self._cost += len(plain) // UNPACKED_PER_EVENT
        return plain

    def take_cost(self) -> int:
        """Return how much was done since the last time beyond what came, as a count of events."""
        cost, self._cost = self._cost, 0
        return MOST_EVENTS if self.streams.is_enough else cost

    # Ends.

    def release_window(self, call: ServerCall) -> None:
        """Let the client send what it could not, to this call or to others."""
        held, call.held = call.held, 0
        if held:
            self._connection.engine.consumed(call.stream, held)

    def fail(self, call: ServerCall, error: Exception) -> None:
        """End a call that cannot be served, or whose method has failed."""
        if isinstance(error, ConnectionBroken):
            raise error
        status = self._status_of(error)
        call.tells_codings = status.code is Code.UNIMPLEMENTED and call.rpc_method is not None
        cancelled = None if call.is_over else call.on_cancelled
        call.finish(*status)
        if cancelled is not None:
            call.cancel(Code.CANCELLED)

    def _status_of(self, error: Exception) -> CallStatus:
        if isinstance(error, CallRefused):
            return error.status
        if isinstance(error, ServingError):
            return self._site.status_of(error)
        self._site.log_failure(Failure(error))  # type: ignore[no-untyped-call]  # Twisted's
        return CallStatus(Code.INTERNAL, "The server has failed; its log says why.")

    def _cancel(self, call: ServerCall, code: Code) -> None:
        call.is_over = True
        self._connection.cancelled(call)
        call.cancel(code)

    def lost(self) -> None:
        """Tell the methods of all calls that nobody waits any more."""
        calls, self.calls = self.calls, {}
        self.half.clear()
        self.streams.behind.clear()
        self.passing.clear()
        self.timed.clear()
        for call in calls.values():
            if not call.is_over:
                self._cancel(call, Code.CANCELLED)

    def sweep(self, now: float, listener: RpcListener) -> None:
        """End calls whose requests come too slowly."""
        timeouts = listener.timeouts
        longest = max(timeouts.head, timeouts.body * listener.memory.free)
        for call in list(self.calls.values()):
            method = call.rpc_method
            if call.is_over or call.is_whole or method is None or method.streams_in:
                continue
            spent = now - call.arrived
            if spent >= timeouts.head and call.received < spent * timeouts.rate:
                reason = f"The message came with under {timeouts.rate} bytes a second."
            elif spent >= longest:
                reason = f"The message took over {int(spent)} s."
            else:
                continue
            self.fail(call, CallRefused(Code.DEADLINE_EXCEEDED, reason))
