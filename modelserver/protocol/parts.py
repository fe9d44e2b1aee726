"""
Parts of streamed answers, in memory that a worker and the server both see.

A worker of which parts come in quick succession need not write each of them to its socket: it lays them here,
and the server looks as often as it has said it would. What is here:

- word 0, the worker's: bytes laid here since the beginning, modulo 2**64;
- from word 8 on, the server's: bytes of them that it has taken; frames of parts that it has read from the
  socket; 1 while it looks here by itself; how many times it has said something about clients (``CANCEL``,
  ``CREDIT``), so that the worker need not ask the system whether there is something to read; how many empty
  frames of PART it has read;
- from byte 128 on a ring of records: how many answers the worker had made before (u32, modulo 2**32), number
  of the batch, number of rows, bytes of what follows (u32 each), then rows as in a frame of PART. With 0 rows
  it is a part for a batch of one, and nothing but its body.

A part never waits for the next one. The worker lays a record first and asks only then whether the server
looks; where it does not, the worker sends an empty frame of PART, on which the server looks. The server says
that it rests, and looks once more a while later: a record that is laid after that last look is laid by a
worker that reads afterwards that nobody looks. While an empty frame is on its way, no other one is sent for
parts that are behind the same answers: on it, the server counts first and looks then, and the worker
lays first and reads the count then, each with a fence in between; so the one sees the part, or the other the
count.

Order is that of one stream. A record is taken when the answers before it were taken, and before any frame
that comes through the socket is; a part that has no room here goes through the socket, and the next ones
follow it there until the server has read it. (Stores must be seen in their order, which x86 guarantees; on
other processors the server lets nothing be laid here.)
"""

from __future__ import annotations

import mmap
import platform
import struct
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

from modelserver.errors import ServingError
from modelserver.jobs import Answer, StreamedParts, answer_of
from modelserver.protocol.answer_rows import unpack_rows
from modelserver.protocol.frames import FrameError

RING_SIZE = 1 << 18
"""Bytes of parts that may wait for the server."""
AREA_SIZE = 128 + RING_SIZE
"""Bytes of memory that worker and server share for this."""
NEVER = (1 << 64) - 1
"""Frames read, on processors where nothing may be laid."""
KEEPS_ORDER = platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")
_LAID, _TAKEN, _READ, LOOKING, SAID, _HEARD = 0, 8, 9, 10, 11, 12
"""Places of the words; a worker reads the two public ones at each part, and a call would cost as much."""
_RING_AT = 128
_RECORD = struct.Struct("<IIII")
_RECORD_SIZE = _RECORD.size
_pack, _unpack = _RECORD.pack, _RECORD.unpack_from
_fence = threading.Lock()
"""To take it is a fence on the processors where parts are laid, as each atomic instruction is."""
_NUMBERS = 1 << 32
MANY, MOST = 8, 128
"""Of parts of one size, as many streams have, so many are read together: to begin with, and at most."""
_CUT_OFF = (0, 0, 0, RING_SIZE)

_EMPTY = answer_of((200, b"", b""))

Parts = tuple[int, Sequence[Answer | ServingError]]
"""Number of a batch, and parts for its present call: one for each job, a part behind the other."""


class _Packers(dict[int, Callable[..., None]]):
    """What lays a record with so many bytes behind its head, in one call: a second one would cost as much."""

    def __missing__(self, size: int) -> Callable[..., None]:
        if len(self) >= 1024:
            self.clear()
        packer = self[size] = struct.Struct(f"<IIII{size}s").pack_into
        return packer


_PACKERS = _Packers()


class PartsReader:
    """
    The server's end.

    :param area: ``AREA_SIZE`` bytes that start with zeros.
    """

    __slots__ = ("_area", "_heard", "_read", "_said", "_taken", "_words")

    def __init__(self, area: memoryview, keeps_order: bool = KEEPS_ORDER) -> None:
        self._area = area
        self._words = area[:_RING_AT].cast("Q")
        self._taken = self._read = self._said = self._heard = 0
        if not keeps_order:
            self._words[_READ] = NEVER

    @property
    def is_empty(self) -> bool:
        """Whether all that was laid here was taken."""
        return self._words[_LAID] == self._taken

    def take(self, answered: int) -> list[Parts]:
        """
        Return the parts that are next, as far as they are alike those of each batch together.

        :param answered: how many answers of the worker's were taken; parts behind others are not next.
        :raises FrameError: what lies there are no parts.
        """
        taken = self._taken
        size = self._words[_LAID] - taken
        if not size:
            return []
        if not 0 < size <= RING_SIZE:
            raise FrameError("parts that are not where they can be")
        data, at, found = self._copy(taken % RING_SIZE, size), 0, list[Parts]()
        current, last, answered = -1, -1, answered % _NUMBERS
        rows: list[Answer | ServingError] = []
        bodies: list[bytes | bytearray | memoryview] | None = None
        while at < size:
            before, number, count, length = _unpack(data, at) if at + _RECORD_SIZE <= size else _CUT_OFF
            end = at + _RECORD_SIZE + length
            if end > size:
                raise FrameError("a part beyond the end")
            if before != answered:
                break
            body_at = at + _RECORD_SIZE
            if number != current:
                current, rows, bodies = number, [], None
            if count or not length:
                if not rows or bodies is not None:
                    rows, bodies = [], None
                    found.append((number, rows))
                rows += _rows_of(data[body_at:end], number, count) if count else (_EMPTY,)
            elif bodies is None:
                bodies = _begin(found, rows, number, data[body_at:end])
            else:
                bodies.append(data[body_at:end])
                if length == last and data.startswith(data[at:body_at], at + MANY * (end - at)):
                    alike = _alike(data, at, end)
                    bodies += alike
                    end += len(alike) * (end - at)
            at, last = end, length
        self._taken = self._words[_TAKEN] = taken + at
        return found

    def _copy(self, start: int, size: int) -> bytes:
        first, end = _RING_AT + start, start + size
        if end <= RING_SIZE:
            return bytes(self._area[first : first + size])
        return b"".join((self._area[first:], self._area[_RING_AT : _RING_AT + end - RING_SIZE]))

    def frame_read(self) -> None:
        """Count a frame of parts that came through the socket: what is laid from now on is behind it."""
        if self._words[_READ] != NEVER:
            self._read += 1
            self._words[_READ] = self._read

    def announcement_read(self) -> None:
        """Count an empty frame of parts; comes before the look that it asks for."""
        self._heard += 1
        self._words[_HEARD] = self._heard
        with _fence:
            pass

    def look(self, looks: bool) -> None:
        """Tell the worker whether the server looks here by itself."""
        self._words[LOOKING] = looks

    def say(self) -> None:
        """Tell the worker that there is something to read about clients; comes before it is sent."""
        self._said += 1
        self._words[SAID] = self._said

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._area.release()


class PartsWriter:
    """
    The worker's end.

    :param memory: what ``PartsReader`` has, and what is before it.
    :param at: where that begins.
    :ivar words: what both ends say; at ``SAID`` how many times the server has said something about clients,
        at ``LOOKING`` whether it looks by itself, which is asked after a part was laid.
    """

    __slots__ = (
        "_announced",
        "_at",
        "_before",
        "_limit",
        "_memory",
        "_next",
        "_run_before",
        "_run_heard",
        "_run_number",
        "_sent",
        "_turn",
        "_until",
        "words",
    )

    def __init__(self, memory: mmap.mmap | bytearray, at: int = 0) -> None:
        self._memory = memory
        self.words = memoryview(memory)[at : at + _RING_AT].cast("Q")
        self._at = self._next = at + _RING_AT
        # Places, which are small numbers, since those are cheaper than the number of bytes ever laid.
        self._turn = -self._at
        """What makes of a place in the present turn of the ring the bytes that were laid before it."""
        self._until = 0
        """Where records that are not cut must end."""
        self._sent = self._limit = self._announced = 0
        self._before = self._run_heard = -1
        self._run_before = self._run_number = 0

    def lay(self, before: int, number: int, count: int, data: bytes | bytearray) -> bool:
        """
        Lay a part here; return whether there was room.

        :param before: how many answers were made before it.
        :param number: of its batch.
        :param count: rows of ``data``; 0: it is a body.
        """
        at, size = self._next, len(data)
        end = at + _RECORD_SIZE + size
        if end + self._turn > self._limit and not self._has_room(end + self._turn):
            return False
        over = end - self._at - RING_SIZE
        if over <= 0:
            _PACKERS[size](self._memory, at, before % _NUMBERS, number, count, size, data)
        else:
            record = _pack(before % _NUMBERS, number, count, size) + data
            self._memory[at : end - over] = record[:-over]
            end = self._at + over
            self._memory[self._at : end] = record[-over:]
            self._turn += RING_SIZE
        self._next = end
        self._until = min(self._limit - self._turn, self._at + RING_SIZE)
        self.words[_LAID] = self._turn + end
        return True

    @property
    def is_shut(self) -> bool:
        """Whether there will never be room: the processor does not keep the order of stores."""
        return self.words[_READ] == NEVER

    @property
    def is_half_empty(self) -> bool:
        """Whether there is much room: all frames of parts were read, and half of the memory is free."""
        words = self.words
        return words[_READ] == self._sent and 2 * (words[_LAID] - words[_TAKEN]) <= RING_SIZE

    def begin_run(self, before: int, number: int, heard: int) -> None:
        """
        Lay what comes by ``lay_next`` for one stream.

        :param before: as with ``lay``, likewise ``number``.
        :param heard: how many times the server has been heard that said something about clients.
        """
        self._run_before, self._run_number, self._run_heard = before % _NUMBERS, number, heard

    def end_run(self) -> None:
        """Lay nothing by ``lay_next``: the stream has ended."""
        self._run_heard = -1

    def lay_next(self, body: bytes | bytearray) -> bool:
        """
        Lay the next part of a stream that is nothing but a body, at less cost; return whether it was laid.

        It was not where there is no room, or the server has said something, or there is no such stream.
        """
        size = len(body)
        at = self._next
        end = at + _RECORD_SIZE + size
        words = self.words
        if end > self._until or words[SAID] != self._run_heard:
            return False
        _PACKERS[size](self._memory, at, self._run_before, self._run_number, 0, size, body)
        self._next = end
        words[_LAID] = self._turn + end
        return True

    def _has_room(self, end: int) -> bool:
        words = self.words
        if words[_READ] != self._sent:
            return False
        self._limit = words[_TAKEN] + RING_SIZE
        return end <= self._limit

    def announces(self, before: int) -> bool:
        """
        Return whether the server is to be sent an empty frame, which is counted: none is on its way to it.

        Asked where the server does not look by itself, after a part was laid.

        :param before: as with ``lay``: of answers that follow such a frame, the server hears after it.
        """
        if before == self._before:
            with _fence:
                pass
            if self.words[_HEARD] != self._announced:
                return False
        self._before = before
        self._announced += 1
        return True

    def frame_sent(self) -> None:
        """Count a frame of parts that went through the socket: nothing is laid here until it is read."""
        self._sent += 1
        self._limit = self._until = 0


def _begin(
    found: list[Parts], rows: list[Answer | ServingError], number: int, body: bytes
) -> list[bytes | bytearray | memoryview]:
    """Have further parts that are bodies alone be found, the first of which this is; return their bodies."""
    if len(rows) == 1 and isinstance(first := rows[0], Answer) and first.body:
        parts = StreamedParts(first)
        parts.bodies.append(body)
        found[-1] = number, parts
    else:
        parts = StreamedParts(answer_of((200, b"", body)))
        found.append((number, parts))
    return parts.bodies


def _alike(data: bytes, at: int, end: int) -> list[bytes]:
    """Return the bodies of the whole records behind the one from ``at`` to ``end`` that begin as it does."""
    head, step, found = data[at : at + _RECORD_SIZE], end - at, list[bytes]()
    left, several = (len(data) - end) // step, MANY
    # By calls that go through many: a loop of Python's would take as long as all else. Not through all of
    # them at once: where streams take turns there may be few, and who comes next would read the rest again.
    while left and several:
        if several > left:
            several //= 2
            continue
        pieces = _records(step - _RECORD_SIZE, several).unpack_from(data, end)
        heads, bodies = pieces[::2], pieces[1::2]
        if heads.count(head) < several:
            found += bodies[: next(place for place, each in enumerate(heads) if each != head)]
            break
        found += bodies
        left -= several
        end += several * step
        several = min(4 * several, MOST)
    return found


@lru_cache(64)
def _records(length: int, count: int) -> struct.Struct:
    """Return what reads so many records with bodies of ``length`` bytes: the head and the body of each."""
    return struct.Struct(f"{_RECORD_SIZE}s{length}s" * count)


def _rows_of(data: bytes, number: int, count: int) -> list[Answer | ServingError]:
    answered = unpack_rows(data, None)
    if len(answered) != 1 or answered[0][0] != number or len(answered[0][1]) != count:
        raise FrameError(f"{count} parts of batch {number} that are others")
    return answered[0][1]
