"""What a gRPC method knows of the call it answers, and what a connection asks of the services behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.python.failure import Failure

from modelserver.errors import ServingError
from modelserver.jobs import SharedSlot
from modelserver.rpc.codes import CallStatus, Code, Metadatum
from modelserver.traces import Trace

Message = bytes | bytearray | memoryview
"""A serialized message; one that a method is given may be gone once ``message`` has returned."""


class Call(Protocol):
    """
    One call, as the method that answers it sees it.

    Everything happens in the event loop's thread, and nothing here raises because the client has left: a
    call that is over takes what it is given and does nothing. It is over once ``reply`` or ``finish`` was
    called, or ``on_cancelled``. What is sent leaves at the end of the turn.

    :param deadline: when the client stops waiting, in the reactor's (monotonic) seconds, or None. The method
        gives it to its job; a moment later the transport ends the call, if the method has not.
    :param arrived: when the call began, in the reactor's seconds.
    :param received: bytes of messages from the client, compressed as they came.
    :param sent: likewise, to the client.
    :param request_id: 16 bytes that name the call in the answer's metadata (``x-request-id``) and in the
        access log. There are none until the method sets those of its job, or makes some.
    :param context: the method's own.
    :param trace: what is told of it, if it is traced.
    :param initial: metadata that go ahead of the first message.
    :param trailing: metadata that go with the status.
    :param on_cancelled: called once, with CANCELLED or DEADLINE_EXCEEDED, if the call is over before the
        method has ended it; set by the method.
    :param on_resume: called when more may be sent, after ``send`` has returned False; set by the method.
    """

    deadline: float | None
    arrived: float
    received: int
    sent: int
    request_id: bytes
    context: object
    trace: Trace | None
    initial: Sequence[Metadatum]
    trailing: Sequence[Metadatum]
    on_cancelled: Callable[[Code], object] | None
    on_resume: Callable[[], object] | None

    @property
    def method(self) -> str:
        """The path, as ``/package.Service/Method``."""

    @property
    def peer(self) -> str:
        """The client, as the access log shows it: ``/127.0.0.1:50000``."""

    @property
    def authority(self) -> str:
        """The server, as the client named it."""

    @property
    def secure(self) -> bool:
        """Whether TLS is in between."""

    @property
    def is_over(self) -> bool:
        """Whether nothing can be sent any more."""

    @property
    def metadata(self) -> list[Metadatum]:
        """What the client sent along, in order, without the fields of HTTP/2 and gRPC; made at each call."""

    @property
    def header_block(self) -> bytes:
        """The same as header lines, each ended by CRLF, as jobs carry them; ``-bin`` values are base64."""

    @property
    def explains(self) -> bool:
        """Whether the metadata ask for an explanation."""

    def field(self, name: bytes) -> bytes | None:
        """Return the last value of a header field, as it came, or None; the name is in lower case."""

    def send(self, *messages: Message) -> bool:
        """
        Send some of several messages; return whether another may be sent now.

        After False, more is still taken, but ``on_resume`` is to be waited for.
        """

    def send_behind(self, ahead: Callable[[int], bytes], rests: Sequence[Message]) -> bool:
        """
        Do as ``send``, with messages in two pieces.

        :param ahead: returns the beginning of a message whose rest has so many bytes.
        :param rests: of the messages, at least one.
        """

    def reply(self, message: Message) -> None:
        """Send the only message, or the last one, and the status OK."""

    def reply_behind(self, ahead: Callable[[int], bytes], rest: Message) -> None:
        """
        Do as ``reply``, with a message in two pieces.

        :param ahead: returns the beginning of a message whose rest has so many bytes.
        """

    def reply_large(self, ahead: bytes, body: Message, take_place: Callable[[], SharedSlot | None]) -> None:
        """
        Send the only message, or the last one, and the status OK; if it can be, from where it lies.

        :param ahead: the beginning of the message.
        :param body: the rest of it: bytes, or a view of memory that workers write to.
        :param take_place: returns the place of that memory, from then on the call's to free; None: nobody may
            have it.
        """

    def finish(self, code: Code = Code.OK, message: str = "", trailing: Sequence[Metadatum] = ()) -> None:
        """Send the status; ``trailing`` goes behind the attribute of that name."""

    def fail(self, error: ServingError) -> None:
        """Send the status that the site has for an error."""

    def take_place(self) -> SharedSlot | None:
        """
        Return where the message lies if it is in memory that workers read, from now on the caller's to free.

        None: it does not. A method that does not ask leaves the place to the transport.
        """

    def consumed(self, size: int, count: int = 1) -> None:
        """
        Take ``count`` messages of ``size`` bytes together off what is unread; for methods that stream in.

        A client that has some 64 kB of messages unread is not let send more.
        """


EndedCall = tuple[Call, Code]
"""A call that is over, and how it has ended."""


class RpcMethod(Protocol):
    """
    A method of a service; one object serves all of its calls.

    What it raises ends the call: a ``CallRefused`` as that says, a ``ServingError`` as the site says, and
    anything else as INTERNAL, with an entry in the log.

    :param name: the path, as ``/package.Service/Method``.
    :param streams_in: whether clients send a stream of messages. Where not, ``begin`` is not called, and
        ``message`` is, once, with the whole message.
    """

    @property
    def name(self) -> str: ...

    @property
    def streams_in(self) -> bool: ...

    def begin(self, call: Call) -> None:
        """Take a call whose messages are to follow."""

    def message(self, call: Call, message: bytes | memoryview | None) -> None:
        """Take a message; None: the client will send no more (not called where it sends one)."""


class CallSite(Protocol):
    """
    The services of one listener, and what is written down about calls.

    :param largest: bytes of a message that a client may send.
    """

    largest: int

    def find(self, path: bytes) -> RpcMethod | None:
        """Return the method with exactly this path; the hot path, so best a dictionary's ``get``."""

    def is_open(self, method: RpcMethod) -> bool:
        """Return whether there is never anything to decide about calls of a method: ``begin`` is left out."""

    def begin(self, call: Call, method: RpcMethod) -> None:
        """
        Decide on access, before anything else is done for a call.

        :param method: what the call's path was found to mean: the decision is about it, never about the path.

        :raises ServingError: the call may not be made.
        :raises CallRefused: likewise.
        """

    def status_of(self, error: ServingError) -> CallStatus:
        """Return how a call ends that failed with ``error``."""

    def ended(self, calls: Sequence[EndedCall], now: float) -> None:
        """
        Write down calls of one connection that are over, found or not.

        :param now: the reactor's seconds.
        """

    def log_failure(self, failure: Failure) -> None:
        """Write down a defect of the server."""
