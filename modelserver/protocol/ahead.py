"""
What a worker has ahead: who makes each call that was sent before it could begin, and the answers it keeps.

**Offers.** A counter in the kernel (an eventfd that counts down by one at each read) that the server and one
worker share. The server adds ``n`` before ``n`` calls leave (a frame with the flag ``AHEAD``); the worker
takes one before it begins each of these calls, in their order; the server takes as many as there are to have
the rest back. The kernel makes each read atomic, so that each offer is had by one side.

Why no call is made twice, and none is lost:

1. offers made = offers that the worker took + offers that the server took + the counter, at all times.
2. While the server has taken nothing back that the worker has not passed over, every call that is in the
   worker's socket and not begun has its offer in the counter. The worker goes through the calls in order, so
   the ``k`` offers that the server gets when it empties the counter are those of the last ``k`` calls.
3. From then on the counter is 0: the worker gets nothing for the first of these calls, nor for any behind it.
   It passes over them, and says so (``DROPPED``). The server sends nothing ahead until it has heard this of
   all of them, so that no new offer can be taken for an old call; then 2 holds again.

**Kept answers.** Answers that are done may wait in the worker for the next one, to leave in the same write. A
copy of them lies in memory that both map, so that the server has them while the worker is in a long call,
or is dead. Word 0 is how many answers have left through the socket before, word 1 how many are kept and where
their bytes end, word 2 the microseconds that they took; rows follow. One side writes, a word at a time: rows
before word 1; word 1 is 0 before word 0 changes, and no row is written over before that. So the rows that the
server has copied are whole if word 0 is the same afterwards. (Stores must be seen in their order, which x86
guarantees. On processors that do not, the system calls between two calls of a handler see to it.)
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Sequence

from attrs import define, field

from modelserver.errors import ServingError
from modelserver.jobs import Answer
from modelserver.protocol.frames import FrameError, read_answer

KEPT_SIZE = 1 << 16
"""Bytes of the memory for kept answers; an answer that does not fit is not kept."""
_FIRST = 24
_ROW = struct.Struct("<5I")
"""Number of the batch, status, length of head and body, flags; head and body follow."""
_pack_row = _ROW.pack_into
_LOW = (1 << 32) - 1

Kept = tuple[int, list[Answer | ServingError], float]
"""Number of a batch, the answers to its next jobs, and the seconds that they took."""


@define(eq=False)
class AheadSender:
    """The server's end."""

    offers: int
    memory_file: int
    _memory: memoryview = field(init=False)
    _words: memoryview = field(init=False)
    _known: int = field(default=0, init=False)
    """Answers that the server has."""
    _early: int = field(default=0, init=False)
    """How many of them will come once more through the socket."""
    _is_open: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        self._memory = memoryview(mmap.mmap(self.memory_file, KEPT_SIZE))
        self._words = self._memory.cast("Q")

    @classmethod
    def open(cls) -> AheadSender | None:
        """Make one for a new worker process; None where the system has no such things, or gives none."""
        if not (hasattr(os, "eventfd") and hasattr(os, "memfd_create")):
            return None
        made: list[int] = []
        try:
            made.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE))
            made.append(os.memfd_create("modelserver-kept", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
            os.ftruncate(made[1], KEPT_SIZE)
            # A handler that cuts it off would have the server killed at its next look.
            fcntl.fcntl(made[1], fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            return cls(*made)
        except OSError:
            for descriptor in made:
                os.close(descriptor)
            return None

    @property
    def descriptors(self) -> tuple[int, int]:
        """What the worker gets, in the order of ``AheadReceiver``'s parameters."""
        return self.offers, self.memory_file

    def offer(self, calls: int) -> None:
        """Let the worker begin so many calls more; comes before these leave."""
        os.eventfd_write(self.offers, calls)

    def take_back(self) -> int:
        """Take every offer that nobody has; return how many these were."""
        count = 0
        try:
            while self._is_open:
                count += os.eventfd_read(self.offers)
        except BlockingIOError:
            pass
        return count

    def arrived(self, answers: int) -> int:
        """Count answers that came through the socket. Return how many of them, the first, are known."""
        known = min(self._early, answers)
        self._early -= known
        self._known += answers - known
        return known

    def read_kept(self, shared: memoryview | None) -> list[Kept]:
        """
        Return the answers that are done and were not seen yet; they will come through the socket as well.

        :param shared: the memory in which the bodies of rows with the flag SHARED lie.
        :raises FrameError: what lies there is no answer.
        """
        if not self._is_open:
            return []
        words = self._words
        base, state, spent = words[0], words[1], words[2]
        count, end = state >> 32, state & _LOW
        if base + self._early != self._known or count <= self._early:
            return []  # or there are answers on their way, to be read first
        rows = bytes(self._memory[_FIRST : min(end, KEPT_SIZE)])
        if words[0] != base:
            return []
        found = _unpack_rows(rows, count, shared)[self._early :]
        self._early += len(found)
        self._known += len(found)
        return _by_number(found, spent / 1e6)

    def close(self) -> None:
        """Give everything back: the process is gone."""
        if self._is_open:
            self._is_open = False
            self._words.release()
            self._memory.release()
            for descriptor in self.descriptors:
                os.close(descriptor)


def _unpack_rows(
    rows: bytes, count: int, shared: memoryview | None
) -> list[tuple[int, Answer | ServingError]]:
    found: list[tuple[int, Answer | ServingError]] = []
    at = 0
    for _ in range(count):
        if at + _ROW.size > len(rows):
            raise FrameError("kept answers beyond their end")
        number, status, head_size, body_size, flags = _ROW.unpack_from(rows, at)
        body_at = at + _ROW.size + head_size
        end = body_at + body_size
        if end > len(rows):
            raise FrameError("a kept answer beyond its end")
        head, body = rows[at + _ROW.size : body_at], rows[body_at:end]
        found.append((number, read_answer(flags, status, head, body, shared)))
        at = end
    return found


def _by_number(rows: Sequence[tuple[int, Answer | ServingError]], seconds: float) -> list[Kept]:
    found: list[Kept] = []
    for number, answer in rows:
        if not found or found[-1][0] != number:
            found.append((number, [], 0.0))
        found[-1][1].append(answer)
    each = seconds / len(rows) if rows else 0.0
    return [(number, answers, each * len(answers)) for number, answers, _ in found]


class AheadReceiver:
    """
    The worker's end.

    :raises OSError, ValueError: the descriptors are not those of an ``AheadSender``.
    """

    __slots__ = ("_base", "_count", "_end", "_memory", "_offers", "_spent", "_words")

    def __init__(self, offers: int, memory_file: int) -> None:
        for descriptor in (offers, memory_file):
            os.set_inheritable(descriptor, False)
        self._offers = offers
        self._memory = memoryview(mmap.mmap(memory_file, KEPT_SIZE))
        self._words = self._memory.cast("Q")
        self._base = self._count = 0
        self._end = _FIRST
        self._spent = 0.0

    def claim(self) -> bool:
        """Take the offer of the next call; without one the call is not the worker's any more."""
        try:
            os.eventfd_read(self._offers)
        except BlockingIOError:
            return False
        return True

    def keep(self, number: int, rows: Sequence[tuple[int, Answer]], spent: float) -> bool:
        """
        Show the answers to the next jobs of batch ``number`` to the server.

        Return whether there was room; where not, they must leave now.
        """
        memory, at = self._memory, self._end
        for flags, (status, head, body) in rows:
            body_at = at + 20 + len(head)
            end = body_at + len(body)
            if end > KEPT_SIZE:
                return False
            _pack_row(memory, at, number, status, len(head), len(body), flags)
            if head:
                memory[at + 20 : body_at] = head
            memory[body_at:end] = body
            at = end
        self._end = at
        self._count += len(rows)
        self._spent += spent
        words = self._words
        words[2] = int(self._spent * 1e6)
        words[1] = self._count << 32 | at
        return True

    def sent(self, answers: int) -> None:
        """Note that so many answers have left through the socket, those that were kept among them."""
        self._base += answers
        words = self._words
        if self._count:
            self._count, self._end, self._spent = 0, _FIRST, 0.0
            words[1] = 0
        words[0] = self._base
