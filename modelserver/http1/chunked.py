"""Chunked bodies (RFC 9112, 7.1), read strictly, and in turns: chunks of one byte hold nobody up."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from attrs import field

from modelserver.language.attributes import define

CHUNKS_A_TURN = 4096
"""Chunks that are read in one turn of the reactor, of all bodies together: a few milliseconds' work."""
FEWEST = 64
"""Chunks that a body may have in its turn, however many others wait."""
LONGEST_TRAILER = 16 * 1024

# Sizes have no sign and no space, and no more digits than any body needs.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]{0,1000})?\r\n")
_HALF_SIZE = re.compile(rb"[0-9A-Fa-f]{0,15}(?:;[\t\x20-\x7e\x80-\xff]{0,1000})?\r?")
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n)*")
_END = b"\r\n"


class ChunkedInvalid(Exception):
    """The body breaks a rule of its coding."""


@define(eq=False)
class ChunkedDecoder:
    """
    Reads a chunked body from pieces that are cut anywhere.

    :param rest: what has come and was not read; what came behind the body, once it ``is_over``.
    """

    rest: bytes = b""
    is_over: bool = field(default=False, init=False)
    _is_last: bool = field(default=False, init=False)
    _missing: int | None = field(default=None, init=False)
    """Bytes of a chunk that are to come before its CRLF; None where the size of one is to come."""

    def read(self, most: int, pieces: list[bytes]) -> int:
        """
        Append what has come of the body to ``pieces``, at most so many chunks; returns how many it left.

        :raises ChunkedInvalid: the body breaks a rule.
        """
        if not self._is_last:
            most = self._read_chunks(most, pieces)
        if self._is_last and not self.is_over:
            self._read_trailer()
        return most

    def _read_chunks(self, most: int, pieces: list[bytes]) -> int:
        data, at, missing = self.rest, 0, self._missing
        size = len(data)
        while most and at < size:
            if missing is None:
                line = _SIZE.match(data, at)
                if line is None:
                    if _HALF_SIZE.fullmatch(data, at) is None:
                        raise ChunkedInvalid
                    break
                missing, at = int(line[1], 16), line.end()
                if not missing:
                    self._is_last = True
                    break
            end = at + missing
            piece = data[at:end]
            pieces.append(piece)
            if end + 2 > size:
                missing -= len(piece)
                at += len(piece)
                if data[at:] not in (b"", b"\r"):
                    raise ChunkedInvalid
                break
            if data[end : end + 2] != _END:
                raise ChunkedInvalid
            at, missing = end + 2, None
            most -= 1
        self.rest, self._missing = data[at:], missing
        return most

    def _read_trailer(self) -> None:
        """Skip the fields behind the last chunk, when they are all here."""
        data = self.rest[: LONGEST_TRAILER + 1]
        fields = _FIELDS.match(data)
        end = 0 if fields is None else fields.end()
        if data.startswith(_END, end):
            self.is_over, self.rest = True, self.rest[end + 2 :]
        elif _END in data[end:] or len(data) > LONGEST_TRAILER:
            raise ChunkedInvalid


@define(eq=False)
class Turns:
    """
    Shares the reactor among chunked bodies: a client who sends many small chunks waits, others do not.

    :param run_soon: runs something in the reactor's next turn.
    """

    run_soon: Callable[[Callable[[], None]], object]
    _left: int = field(default=CHUNKS_A_TURN, init=False)
    _waiting: deque[ChunkedBody] = field(factory=deque, init=False)
    _is_begun: bool = field(default=False, init=False)

    def read(self, body: ChunkedBody) -> None:
        """Have a body read, now or when it is its turn."""
        self._read(body, self._left)

    def _read(self, body: ChunkedBody, most: int) -> None:
        self._left -= body.read(most)
        if body.is_waiting:
            self._waiting.append(body)
        if not self._is_begun:
            self._is_begun = True
            self.run_soon(self._begin)

    def _begin(self) -> None:
        """Another turn."""
        self._is_begun = False
        self._left = CHUNKS_A_TURN
        waiting = self._waiting
        share = max(FEWEST, CHUNKS_A_TURN // max(1, len(waiting)))
        for _ in range(len(waiting)):
            if self._left < FEWEST:
                break
            body = waiting.popleft()
            self._read(body, min(share, self._left))
            if not body.is_waiting:
                body.resume()


@define(eq=False)
class ChunkedBody:
    """
    The chunked body of one request that Twisted Web answers.

    :param deliver: called with each piece of it.
    :param finish: called once, with what came behind it.
    :param refuse: called once, when it breaks a rule.
    :param pause, resume: hold the client up, and let it go on.
    """

    turns: Turns
    deliver: Callable[[bytes], object]
    finish: Callable[[bytes], object]
    refuse: Callable[[], object]
    pause: Callable[[], object]
    resume: Callable[[], object]
    is_waiting: bool = field(default=False, init=False)
    _decoder: ChunkedDecoder = field(factory=ChunkedDecoder, init=False)
    _is_open: bool = field(default=True, init=False)

    def dataReceived(self, data: bytes) -> None:
        """More of it came."""
        if not self._is_open:
            return
        self._decoder.rest += data
        if self.is_waiting:
            self.pause()
        else:
            self.turns.read(self)

    def close(self) -> None:
        """Nobody wants it any more."""
        self._is_open = False

    def read(self, most: int) -> int:
        """Deliver at most so many chunks of what has come; returns how many. If it has more, it waits."""
        self.is_waiting = False
        if not self._is_open:
            return 0
        pieces: list[bytes] = []
        try:
            left = self._decoder.read(most, pieces)
        except ChunkedInvalid:
            self.close()
            self.refuse()
            return len(pieces)
        if pieces:
            self.deliver(b"".join(pieces))
        if self._is_open and self._decoder.is_over:
            self.close()
            self.finish(self._decoder.rest)
        self.is_waiting = self._is_open and not left and bool(self._decoder.rest)
        return most - left
