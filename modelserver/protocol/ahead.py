"""
Calls that a worker gets ahead (prefetching): who makes each of them, and the answers that it keeps back.

**Offers.** The worker makes such a call (of a frame with the flag ``AHEAD``) only if the server does not
have it back before: ``modelserver.protocol.offers``.

**Kept answers.** Answers that are done may wait in the worker for the next one, to leave in the same write.
They wait in memory that both map, so that the server has them while the worker is in a long call, or is
dead. The frame in which they leave is made there, and written from there: its rows are what the server sees
of them before. Word 0 is how many answers have left through the socket before, word 1 where the rows of
those that are kept end, 0 while there are none; word 2 is 1 while the worker lays answers over the bodies
of their requests, which cannot be read again from then on; three words of the offers follow, then room for
a frame's header, and the rows. One side writes, a word at a time: rows before word 1; word 1 is 0 before
word 0 changes, and no row is written over before that. So the rows that the server has copied are whole if
word 0 is the same afterwards. (Stores must be seen in their order, which x86 guarantees. On processors that
do not, the system calls between two calls of a handler see to it.) Behind all that is the memory for parts
of streamed answers (``protocol/parts``).
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Callable, Sequence

from attrs import field

from modelserver.jobs import Answer
from modelserver.language.attributes import define
from modelserver.protocol.answer_rows import ANSWER_ROW, Answered, unpack_rows, without_first
from modelserver.protocol.fence import Fence, find_fence
from modelserver.protocol.frames import ANSWERS, HEADER
from modelserver.protocol.offers import OfferReceiver, OfferSender
from modelserver.protocol.parts import AREA_SIZE, Parts, PartsReader, PartsWriter

KEPT_SIZE = 1 << 16
"""Bytes of the memory for kept answers; an answer that does not fit is not kept."""
_SIZE = KEPT_SIZE + AREA_SIZE
_HEADER_AT = 48
_FIRST = _HEADER_AT + HEADER.size
_ROW_SIZE = ANSWER_ROW.size
_pack_row = ANSWER_ROW.pack_into


@define(eq=False)
class AheadSender:
    """
    The server's end.

    :ivar offer: lets the worker begin so many calls more; comes before these leave.
    :ivar parts: of streamed answers.
    """

    offers: int
    memory_file: int
    fence: Fence | None = None
    parts: PartsReader = field(init=False)
    offer: Callable[[int], None] = field(init=False)
    _offers: OfferSender = field(init=False)
    _memory: memoryview = field(init=False)
    _words: memoryview = field(init=False)
    _known: int = field(default=0, init=False)
    """Answers that the server has."""
    _early: int = field(default=0, init=False)
    """How many of them will come once more through the socket."""
    _is_open: bool = field(default=True, init=False)

    def __attrs_post_init__(self) -> None:
        memory = memoryview(mmap.mmap(self.memory_file, _SIZE))
        self._memory, self.parts = memory[:KEPT_SIZE], PartsReader(memory[KEPT_SIZE:])
        self._words = self._memory.cast("Q")
        self._offers = OfferSender(self.offers, self._words, self.fence)
        self.offer = self._offers.offer

    @classmethod
    def open(cls) -> AheadSender | None:
        """Make one for a new worker process; None where the system has no such things, or gives none."""
        if not (hasattr(os, "eventfd") and hasattr(os, "memfd_create")):
            return None
        made: list[int] = []
        try:
            made.append(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK | os.EFD_SEMAPHORE))
            made.append(os.memfd_create("modelserver-kept", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
            os.ftruncate(made[1], _SIZE)
            # A handler that cuts it off would have the server killed at its next look.
            fcntl.fcntl(made[1], fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
            return cls(made[0], made[1], find_fence())
        except OSError:
            for descriptor in made:
                os.close(descriptor)
            return None

    @property
    def descriptors(self) -> tuple[int, int]:
        """What the worker gets, in the order of ``AheadReceiver``'s parameters."""
        return self.offers, self.memory_file

    def take_back(self) -> int:
        """Take every offer that nobody has; return how many these were."""
        return self._offers.take_back() if self._is_open else 0

    def arrived(self, answers: int) -> int:
        """Count answers that came through the socket. Return how many of them, the first, are known."""
        known = min(self._early, answers)
        self._early -= known
        self._known += answers - known
        return known

    def read_kept(self, shared: memoryview | None) -> list[Answered]:
        """
        Return the answers that are done and were not seen yet; they will come through the socket as well.

        :param shared: the memory in which the bodies of rows with the flag SHARED lie.
        :raises FrameError: what lies there is no answer.
        """
        if not self._is_open:
            return []
        words = self._words
        base, end = words[0], words[1]
        if not end or base + self._early != self._known:
            return []  # none, or there are answers on their way, to be read first
        rows = bytes(self._memory[_FIRST : min(end, KEPT_SIZE)])
        if words[0] != base:
            return []
        found = without_first(unpack_rows(rows, shared), self._early)
        count = sum([len(answers) for _, answers, _ in found])
        self._early += count
        self._known += count
        return found

    def take_parts(self) -> list[Parts]:
        """
        Return the parts that are next.

        :raises FrameError: what lies there are none.
        """
        return self.parts.take(self._known) if self._is_open else []

    @property
    def is_laying(self) -> bool:
        """Whether the worker has begun to lay answers over requests, and has not shown these answers yet."""
        return self._is_open and self._words[2] != 0

    def close(self) -> None:
        """Give everything back: the process is gone."""
        if self._is_open:
            self._is_open = False
            self._words.release()
            self._memory.release()
            self.parts.close()
            for descriptor in self.descriptors:
                os.close(descriptor)


class KeptAnswers:
    """
    The answers that a worker keeps: rows, in the frame in which they will leave.

    :param memory: of ``KEPT_SIZE`` bytes; what the server sees, or the worker's own where it sees none.
    :ivar count: how many are kept.
    """

    __slots__ = ("_base", "_end", "_memory", "_view", "_words", "count")

    def __init__(self, memory: mmap.mmap | bytearray) -> None:
        self._memory = memory
        self._view = memoryview(memory)
        self._words = self._view.cast("Q")
        self._base = self.count = 0
        self._end = _FIRST

    def keep(self, number: int, rows: Sequence[tuple[int, Answer]], seconds: float) -> bool:
        """
        Keep the answers to the next jobs of batch ``number``, and show them to the server.

        Return whether there was room; where not, none of them is kept.

        :param seconds: that the handler took.
        """
        memory, at = self._memory, self._end
        for flags, (status, head, body) in rows:
            head_size, body_size = len(head), len(body)
            body_at = at + _ROW_SIZE + head_size
            end = body_at + body_size
            if end > KEPT_SIZE:
                return False
            _pack_row(memory, at, number, seconds, status, head_size, body_size, flags)
            if head_size:
                memory[at + _ROW_SIZE : body_at] = head
            memory[body_at:end] = body
            at, seconds = end, 0.0
        self._end = self._words[1] = at
        self.count += len(rows)
        return True

    @property
    def made(self) -> int:
        """How many answers there have been, those that are kept included."""
        return self._base + self.count

    def lay(self, is_laying: bool) -> None:
        """Tell the server that answers go where their requests lie, or that they are there."""
        self._words[2] = is_laying

    def frame(self) -> memoryview:
        """Return the frame of what is kept, good until ``sent``."""
        end = self._end
        HEADER.pack_into(self._memory, _HEADER_AT, end - _FIRST, ANSWERS, 0, self.count, 0)
        return self._view[_HEADER_AT:end]

    def sent(self, others: int = 0) -> None:
        """
        Forget what is kept: it has left through the socket.

        :param others: answers that were not kept, and have left behind those.
        """
        self._base += self.count + others
        words = self._words
        if self.count:
            self.count, self._end = 0, _FIRST
            words[1] = 0
        words[0] = self._base


class AheadReceiver:
    """
    The worker's end.

    :ivar answers: those that it keeps.
    :ivar offers: what it asks before each call that was sent ahead.
    :ivar parts: of streamed answers.
    :raises OSError, ValueError: the descriptors are not those of an ``AheadSender``.
    """

    __slots__ = ("answers", "offers", "parts")

    def __init__(self, offers: int, memory_file: int) -> None:
        for descriptor in (offers, memory_file):
            os.set_inheritable(descriptor, False)
        memory = mmap.mmap(memory_file, _SIZE)
        self.answers, self.parts = KeptAnswers(memory), PartsWriter(memory, KEPT_SIZE)
        self.offers = OfferReceiver(offers, memoryview(memory).cast("Q"))
