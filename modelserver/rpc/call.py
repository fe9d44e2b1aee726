"""One call on a connection, as its method sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from modelserver.core.queues.time_buckets import Bucket
from modelserver.errors import ServingError
from modelserver.jobs import SharedSlot
from modelserver.protocol.frames import show_id
from modelserver.rpc.codes import CallStatus, Code, Metadatum
from modelserver.rpc.http2 import Http2Engine, StreamGone
from modelserver.rpc.interfaces import Call, Message, RpcMethod
from modelserver.rpc.large_message import LargeMessage
from modelserver.rpc.outflow import LargeAnswer, Outflow
from modelserver.rpc.request_fields import RequestFields
from modelserver.rpc.wire.codings import ACCEPTED
from modelserver.rpc.wire.fields import Fields, fields_of, metadata_of, percent
from modelserver.rpc.wire.messages import (
    PREFIX,
    MessageCutter,
    beginning,
    frame,
    frames,
    frames_behind,
    prefix,
)
from modelserver.system.bounded_cache import Memo
from modelserver.traces import Trace

_STATUS, _TYPE = (b":status", b"200"), (b"content-type", b"application/grpc")
_ID = b"x-request-id"
PLAIN_HEAD = [_STATUS, _TYPE]
PLAIN_TAIL = [(b"grpc-status", b"0")]
LARGE = 1 << 16
"""Answers from here on are not copied behind their prefixes."""
FRAMED = 64
"""Bytes for which a message of a stream counts beyond its own: one of none has an answer, too."""
OK = Code.OK
"""Here because a look into an Enum costs as much as a call."""


GiveMessage = Callable[[Call, "bytes | memoryview"], object]
"""Gives a method the one message of a call."""

_MADE: Memo[tuple[Metadatum, ...], Fields] = Memo(fields_of, 64, 16)
"""The fields of metadata: what handlers want their answers to carry is mostly the same."""


def _nothing(size: int) -> bytes:
    """Return what goes before a message that has no beginning of its own."""
    return b""


def _fields(pairs: Sequence[Metadatum]) -> Fields:
    if type(pairs) is tuple:
        return _MADE[pairs]
    return fields_of(pairs)


class CallingConnection(Protocol):
    """
    What a call asks of its connection.

    :param remote: the client, as the access log shows it.
    :param answer_bytes: of all answers so far.
    """

    engine: Http2Engine
    remote: str
    answer_bytes: int
    secure: bool
    outflow: Outflow

    def part_sent(self, call: ServerCall) -> bool:
        """Have what was queued leave; return whether the call may send on, else it is told when."""

    def finished(self, call: ServerCall, code: Code) -> None:
        """Have the end of a call leave, which its method has given."""

    def consumed(self, call: ServerCall) -> None:
        """Let the client send on, where it may."""

    def status_of(self, error: ServingError) -> CallStatus:
        """Return how a call ends that failed with ``error``."""


class ServerCall:
    """
    One call.

    What every call has is in slots; what few have stands in the class until then: to write it for each would
    cost more than their looks there.

    :ivar method: the path.
    :ivar header_block: the caller's own fields as header lines, as jobs carry them.
    :ivar give: gives the method its message; None where that may have many.
    :ivar received: bytes of messages; likewise ``sent``.
    :ivar is_whole: whether the client will send no more.
    :ivar is_measured: whether the client has said how long a body is that goes past the engine.
    :ivar is_end_unseen: whether the engine has missed its end, then.
    :ivar is_behind: whether more of a stream has come than its method was given.
    :ivar has_begun: whether the head of the answer was sent.
    :ivar tells_codings: whether the answer names the codings that may be used: the client has used another.
    :ivar leaves_something: whether there may be more to do at its end than to write it down.
    :ivar whole: the one message, until it is known that there is no other.
    :ivar large: the one message, if it is read into shared memory.
    :ivar reserved: bytes of the memory for bodies.
    :ivar unread: bytes of messages that the method has not consumed.
    :ivar held: bytes by which the client's window is not opened.
    """

    __slots__ = (
        "__dict__",
        "_connection",
        "_fields",
        "_is_plain",
        "arrived",
        "deadline",
        "explains",
        "give",
        "header_block",
        "is_over",
        "is_whole",
        "leaves_something",
        "method",
        "on_cancelled",
        "received",
        "request_id",
        "sent",
        "stream",
    )

    context: object = None
    trace: Trace | None = None
    on_resume: Callable[[], object] | None = None
    is_measured = is_end_unseen = is_behind = has_begun = tells_codings = False
    reserved = unread = held = 0
    reader: MessageCutter | None = None
    whole: bytes | None = None
    large: LargeMessage | None = None
    bucket: Bucket[ServerCall] | None = None
    _initial: Sequence[Metadatum] = ()
    _trailing: Sequence[Metadatum] = ()

    def __init__(
        self,
        connection: CallingConnection,
        stream: int,
        fields: RequestFields,
        arrived: float,
        give: GiveMessage | None = None,
    ) -> None:
        self._connection = connection
        self.stream = stream
        self._fields = fields
        self.method = fields.path
        self.header_block, self.explains = fields.header_block, fields.explains
        self.arrived = arrived
        self.deadline: float | None = None
        self.give = give
        self.on_cancelled: Callable[[Code], object] | None = None
        self.request_id = b""
        self.received = self.sent = 0
        self.is_whole = self.is_over = self.leaves_something = False
        self._is_plain = True
        """Whether the answer is to have nothing but an id beside its message, and has not begun."""

    # What the client has said.

    @property
    def rpc_method(self) -> RpcMethod | None:
        """The method that the path means; None: there is none of this name."""
        return self._fields.method

    @property
    def known(self) -> dict[bytes, bytes]:
        """The last value of each field."""
        return self._fields.known

    @property
    def peer(self) -> str:
        """The client."""
        return self._connection.remote

    @property
    def secure(self) -> bool:
        """Whether TLS is in between."""
        return self._connection.secure

    @property
    def authority(self) -> str:
        """The server, as the client named it."""
        return self.known.get(b":authority", b"").decode("latin-1")

    @property
    def metadata(self) -> list[Metadatum]:
        """What the client sent along."""
        return metadata_of(self._fields.pairs)

    def field(self, name: bytes) -> bytes | None:
        """Return the last value of a field."""
        return self.known.get(name)

    # What the method answers.

    @property
    def initial(self) -> Sequence[Metadatum]:
        """Metadata that go ahead of the first message."""
        return self._initial

    @initial.setter
    def initial(self, pairs: Sequence[Metadatum]) -> None:
        self._initial, self._is_plain = pairs, False

    @property
    def trailing(self) -> Sequence[Metadatum]:
        """Metadata that go with the status."""
        return self._trailing

    @trailing.setter
    def trailing(self, pairs: Sequence[Metadatum]) -> None:
        self._trailing, self._is_plain = pairs, False

    def send(self, *messages: Message) -> bool:
        """Send some of several messages; return whether another may be sent now."""
        if self.is_over:
            return False
        connection = self._connection
        try:
            if len(messages) == 1:
                self._send_message(connection, messages[0])
            else:
                self._send_messages(connection, messages)
        except StreamGone:
            return False
        return connection.part_sent(self)

    def _send_messages(self, connection: CallingConnection, messages: Sequence[Message]) -> None:
        """Send several at once; large ones each by itself."""
        if max(map(len, messages)) >= LARGE:
            for message in messages:
                self._send_message(connection, message)
            return
        self._send_framed(connection, frames(messages), len(messages))

    def _send_framed(self, connection: CallingConnection, framed: bytes, count: int) -> None:
        self._begin_to_send(connection, len(framed) - PREFIX * count)
        connection.engine.answer_part(self.stream, framed)

    def send_behind(self, ahead: Callable[[int], bytes], rests: Sequence[Message]) -> bool:
        """Send some of several messages, of two pieces each; return whether another may be sent now."""
        if max(sizes := set(map(len, rests))) >= LARGE:
            return self.send(*[b"".join((ahead(len(rest)), rest)) for rest in rests])
        if self.is_over:
            return False
        connection = self._connection
        try:
            self._send_framed(connection, frames_behind(ahead, rests, sizes), len(rests))
        except StreamGone:
            return False
        return connection.part_sent(self)

    def _begin_to_send(self, connection: CallingConnection, size: int) -> None:
        self.sent += size
        connection.answer_bytes += size
        if not self.has_begun:
            self.has_begun, self._is_plain = True, False
            connection.engine.answer_head(self.stream, self._head(), False)

    def _send_message(self, connection: CallingConnection, message: Message) -> None:
        size, engine = len(message), connection.engine
        self._begin_to_send(connection, size)
        if size < LARGE:
            engine.answer_part(self.stream, frame(message))
        else:
            engine.answer_part(self.stream, prefix(size))
            engine.answer_part(self.stream, bytes(message))

    def reply(self, message: Message) -> None:
        """Send the only message, or the last one, and the status OK."""
        self.reply_behind(_nothing, message)

    def reply_behind(self, ahead: Callable[[int], bytes], rest: Message) -> None:
        """Do as ``reply``, with a message in two pieces."""
        if self.is_over:
            return
        connection, size = self._connection, len(rest)
        self.is_over = True
        engine = connection.engine
        try:
            if self._is_plain and size < LARGE:
                body = beginning(ahead, size) + rest
                self.sent = sent = len(body) - PREFIX
                connection.answer_bytes += sent
                head = self._id_head() if self.request_id else PLAIN_HEAD
                engine.answer(self.stream, head, body, PLAIN_TAIL)
            else:
                begin = ahead(size)
                self._send_message(connection, b"".join((begin, rest)) if begin else rest)
                engine.answer_tail(self.stream, self._tail(OK, "", ()))
        except StreamGone:
            pass
        connection.finished(self, OK)

    def reply_large(self, ahead: bytes, body: Message, take_place: Callable[[], SharedSlot | None]) -> None:
        """Send the only message, or the last one, of two pieces, and the status OK."""
        if self.is_over:
            return
        connection = self._connection
        size, outflow = len(ahead) + len(body), connection.outflow
        if self.has_begun or not outflow.has_room(self.stream, PREFIX + size):
            self.reply(b"".join((ahead, body)))
            return
        self.is_over = True
        place = None
        if isinstance(body, memoryview):
            place = take_place() if outflow.lends else None
            if place is None:
                body = bytes(body)
        if outflow.lends:
            body = memoryview(body)
        tail = self._tail(OK, "", ()) if self._trailing else PLAIN_TAIL
        answer = LargeAnswer(prefix(size) + ahead, body, tail, place)
        self.leaves_something = True
        try:
            self._begin_to_send(connection, size)
        except StreamGone:
            answer.free()
        else:
            outflow.add(self.stream, answer)
        connection.finished(self, OK)

    def finish(self, code: Code = OK, message: str = "", trailing: Sequence[Metadatum] = ()) -> None:
        """Send the status."""
        if self.is_over:
            return
        self.is_over = True
        connection = self._connection
        tail = self._tail(code, message, trailing)
        try:
            if self.has_begun:
                connection.engine.answer_tail(self.stream, tail)
            else:
                connection.engine.answer_head(self.stream, [*self._head(), *tail], True)
        except StreamGone:
            pass
        connection.finished(self, code)

    def fail(self, error: ServingError) -> None:
        """Send the status that the site has for an error."""
        if not self.is_over:
            self.finish(*self._connection.status_of(error))

    def take_place(self) -> SharedSlot | None:
        """Return where the message lies if workers can read it there."""
        return None if self.large is None else self.large.take()

    def consumed(self, size: int, count: int = 1) -> None:
        """Take messages off what is unread."""
        self.unread -= size + FRAMED * count
        if self.held:
            self._connection.consumed(self)

    def _id_head(self) -> Fields:
        return [_STATUS, _TYPE, self._connection.engine.unique((_ID, show_id(self.request_id)))]

    def _head(self) -> Fields:
        head: Fields = self._id_head() if self.request_id else PLAIN_HEAD
        if self.tells_codings:
            head = [*head, ACCEPTED]
        return [*head, *_fields(self._initial)] if self._initial else head

    def _tail(self, code: Code, message: str, trailing: Sequence[Metadatum]) -> Fields:
        tail = PLAIN_TAIL if code is OK else [(b"grpc-status", b"%d" % code)]
        if message:
            tail = [*tail, (b"grpc-message", percent(message))]
        return [*tail, *_fields(self._trailing), *_fields(trailing)]

    # The connection's.

    def cancel(self, code: Code) -> None:
        """Tell the method, once, that nobody waits any more."""
        self.is_over = True
        cancelled, self.on_cancelled, self.on_resume = self.on_cancelled, None, None
        if cancelled is not None:
            cancelled(code)

    def expired(self) -> None:
        """End the call: its client waits no more, and its method has said nothing in time."""
        self.give_up(Code.DEADLINE_EXCEEDED, "Deadline Exceeded", Code.DEADLINE_EXCEEDED)

    def give_up(self, code: Code, message: str, reason: Code) -> None:
        """End the call, if it is not over, without its method, which is told the reason."""
        if not self.is_over:
            cancelled, self.on_cancelled = self.on_cancelled, None
            self.finish(code, message)
            if cancelled is not None:
                cancelled(reason)
