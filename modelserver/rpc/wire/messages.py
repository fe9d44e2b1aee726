"""Messages in a body: before each, a byte that says whether it is compressed, and four of its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from modelserver.errors import BadRequest, BodyTooLarge

PREFIX = 5
COMPRESSED = 1
SMALL = 2048
"""Pieces below this are put together at once: else a body that comes byte by byte costs 50 for each."""


def prefix(size: int, flag: int = 0) -> bytes:
    """Return what goes before a message of ``size`` bytes."""
    return ((flag << 32) + size).to_bytes(PREFIX, "big")


_prefix = lru_cache(1024)(prefix)  # messages are often of like sizes


def frame(message: bytes | bytearray | memoryview, flag: int = 0) -> bytes:
    """Return a message as it goes into the body."""
    return b"".join((((flag << 32) + len(message)).to_bytes(PREFIX, "big"), message))


@lru_cache(1024)
def beginning_of_one(size: int) -> bytes | None:
    """Return how a body of so many bytes begins that is one plain message; None: it is too short."""
    return prefix(size - PREFIX) if size >= PREFIX else None


@lru_cache(1024)
def beginning(ahead: Callable[[int], bytes], size: int) -> bytes:
    """
    Return what goes before the rest of a message.

    :param ahead: returns the beginning of a message whose rest has so many bytes.
    :param size: bytes of the rest.
    """
    begin = ahead(size)
    return prefix(len(begin) + size) + begin


def frames(messages: Sequence[bytes | bytearray | memoryview]) -> bytes:
    """Return messages, none compressed, as they go into the body."""
    return b"".join([piece for each in messages for piece in (_prefix(len(each)), each)])


def frames_behind(
    ahead: Callable[[int], bytes], rests: Sequence[bytes | bytearray | memoryview], sizes: set[int]
) -> bytes:
    """
    Return messages, none compressed, as they go into the body; those of one length share what is before them.

    :param ahead: returns the beginning of a message whose rest has so many bytes.
    :param rests: of the messages.
    :param sizes: of the rests.
    """
    if len(sizes) == 1:
        head = beginning(ahead, *sizes)
        return head + head.join(rests)
    return b"".join([piece for each in rests for piece in (beginning(ahead, len(each)), each)])


class MessageCutter:
    """
    Cuts the body of one call into messages. The bytes of one message are kept in pieces, and joined once.

    :param largest: bytes that a message may have.
    """

    __slots__ = ("_flag", "_have", "_largest", "_need", "_parts")

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._parts: list[bytes | bytearray | memoryview] = []
        self._have = 0
        self._need = PREFIX
        self._flag = -1  # until the prefix is known

    @property
    def pending(self) -> int:
        """Bytes of a message that is not whole."""
        return self._have

    @property
    def is_partial(self) -> bool:
        """Whether a message has begun that is not whole."""
        return self._have > 0 or self._flag >= 0

    def feed(self, data: bytes | memoryview) -> list[tuple[int, bytes]]:
        """
        Return the messages that ``data`` completes, each with its flag.

        :raises BodyTooLarge: a message is too large; this is known, and said, once its length is.
        :raises BadRequest: its flag is none.
        """
        self.keep(data)
        done: list[tuple[int, bytes]] = []
        while (message := self.next_message()) is not None:
            done.append(message)
        return done

    def next_message(self) -> tuple[int, bytes] | None:
        """
        Return the next message that is whole, with its flag, or None.

        :raises BodyTooLarge: it is too large; this is known, and said, once its length is.
        :raises BadRequest: its flag is none.
        """
        while self._have >= self._need:
            block = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            rest = memoryview(block)[self._need :]
            flag, need = self._flag, self._need
            self._parts = [rest] if rest else []
            if flag < 0:
                self._read_prefix(block)
            else:
                self._have -= need
                self._flag, self._need = -1, PREFIX
                return flag, bytes(block[:need] if rest else block)
        return None

    def keep(self, data: bytes | memoryview) -> None:
        """Take bytes, of which ``next_message`` makes messages."""
        parts = self._parts
        self._have += len(data)
        if len(data) >= SMALL or not parts:
            parts.append(data)
        elif type(parts[-1]) is bytearray:
            parts[-1] += data
        else:
            parts.append(bytearray(data))

    def _read_prefix(self, block: bytes | bytearray | memoryview) -> None:
        self._flag = block[0]
        self._have -= PREFIX
        self._need = int.from_bytes(block[1:PREFIX], "big")
        if self._flag > COMPRESSED:
            raise BadRequest(f"A message has the unknown flags {self._flag}.")
        if self._need > self._largest:
            raise BodyTooLarge(self._largest)
