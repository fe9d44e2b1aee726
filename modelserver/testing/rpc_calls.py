"""A gRPC call in memory, for tests of methods: it behaves, and tells what happened to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import field

from modelserver.errors import ServingError
from modelserver.jobs import SharedSlot
from modelserver.language.attributes import define
from modelserver.rpc.codes import CallStatus, Code, Metadatum
from modelserver.rpc.interfaces import Message
from modelserver.traces import Trace


def _internal(error: ServingError) -> CallStatus:
    return CallStatus(Code.INTERNAL, str(error))


@define(eq=False)
class MemoryCall:
    """
    A ``Call`` of which nothing leaves the process.

    :param metadata: what the client sent along.
    :param can_take: what ``send`` answers.
    :param status_of: turns errors into the end of a call, as a site does.
    """

    method: str = "/test.Service/Method"
    metadata: list[Metadatum] = field(factory=list)
    deadline: float | None = None
    can_take: bool = True
    status_of: Callable[[ServingError], CallStatus] = _internal
    peer: str = "/127.0.0.1:50000"
    authority: str = "127.0.0.1:7070"
    secure: bool = False
    arrived: float = 0.0
    received: int = 0
    sent: int = 0
    request_id: bytes = b""
    context: object = None
    trace: Trace | None = None
    initial: Sequence[Metadatum] = ()
    trailing: Sequence[Metadatum] = ()
    place: SharedSlot | None = None
    """Where the message lies, if in shared memory."""
    on_cancelled: Callable[[Code], object] | None = None
    on_resume: Callable[[], object] | None = None
    messages: list[bytes] = field(factory=list, init=False)
    """The answers so far."""
    status: CallStatus | None = field(default=None, init=False)
    """How the call has ended, once it has; also by ``cancel``."""
    taken: int = field(default=0, init=False)
    """Bytes that the method has consumed."""

    @property
    def explains(self) -> bool:
        """Whether the metadata ask for an explanation."""
        return str(dict(self.metadata).get("explain", "")).lower() == "true"

    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
        return self.status is not None

    @property
    def header_block(self) -> bytes:
        """The metadata as header lines."""
        return b"".join([b"%b: %b\r\n" % (name.encode(), _raw(value)) for name, value in self.metadata])

    def field(self, name: bytes) -> bytes | None:
        """Return the last value of this name."""
        found = [_raw(value) for key, value in self.metadata if key.encode() == name]
        return found[-1] if found else None

    def send(self, *messages: Message) -> bool:
        """Keep answers."""
        if self.is_over:
            return False
        self.messages += map(bytes, messages)
        return self.can_take

    def send_behind(self, ahead: Callable[[int], bytes], rests: Sequence[Message]) -> bool:
        """Keep answers."""
        return self.send(*[b"".join((ahead(len(rest)), rest)) for rest in rests])

    def reply(self, message: Message) -> None:
        """Keep the last answer."""
        self.send(message)
        self.finish()

    def reply_behind(self, ahead: Callable[[int], bytes], rest: Message) -> None:
        """Keep the last answer."""
        self.reply(b"".join((ahead(len(rest)), rest)))

    def reply_large(self, ahead: bytes, body: Message, take_place: Callable[[], SharedSlot | None]) -> None:
        """Keep a copy of the last answer."""
        self.reply(b"".join((ahead, body)))

    def finish(self, code: Code = Code.OK, message: str = "", trailing: Sequence[Metadatum] = ()) -> None:
        """Keep the end."""
        if not self.is_over:
            self.status = CallStatus(code, message, (*self.trailing, *trailing))

    def fail(self, error: ServingError) -> None:
        """End with what the site says of ``error``."""
        self.finish(*self.status_of(error))

    def take_place(self) -> SharedSlot | None:
        """Return where the message lies, once."""
        place, self.place = self.place, None
        return place

    def consumed(self, size: int, count: int = 1) -> None:
        """Count what the method has taken."""
        self.taken += size

    # What a test does.

    def cancel(self, code: Code = Code.CANCELLED) -> None:
        """End the call from the client's side, or by its deadline."""
        if not self.is_over:
            self.status = CallStatus(code)
            cancelled, self.on_cancelled = self.on_cancelled, None
            if cancelled is not None:
                cancelled(code)

    def resume(self) -> None:
        """Let the method send on."""
        self.can_take = True
        if self.on_resume is not None:
            self.on_resume()


def _raw(value: str | bytes) -> bytes:
    return value.encode("ascii") if isinstance(value, str) else value
