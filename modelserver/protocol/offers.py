"""
Who makes each call that was sent ahead: the worker, or the server, which has it back before it is begun.

There are two ways; the server takes the second where the system, or the worker, lacks what the first one
needs.

**Words that both see.** Calls that are sent ahead are counted, from 1. The worker writes the number of each
into ``COME`` before it looks at ``STOP``; where that is 0, the call is its own, and is begun. To have calls
back, the server writes ``ASKED`` into ``STOP``, makes a fence (``modelserver.protocol.fence``), reads
``COME``, and writes into ``STOP`` what it has decided: the calls up to that number are the worker's, those
behind it are not.

Why no call is made twice, and none is lost:

1. The worker's write and its look, and the server's write and its reading, have a fence between them. So at
   least one side sees the other: if the worker has come to call ``k`` and has seen 0 in ``STOP``, the
   server reads ``k`` or more in ``COME``, and leaves ``k`` to it.
2. If the worker has seen ``ASKED``, it waits for what is decided, which takes the server no longer than the
   fence. It makes call ``k`` if that is not behind the number that the server has read. So both go by the
   same number, whichever of the two saw the other.
3. ``COME`` never falls, and the server asks anew only when it has heard of all calls that it has taken back
   that the worker has passed over them; it writes 0 into ``STOP`` before it sends the next one ahead. So
   what is decided of call ``k`` is still there when the worker looks, or has been replaced by something
   that says the same of it.

**A counter in the kernel**, an eventfd that counts down by one at each read. The server adds ``n`` before
``n`` calls leave; the worker takes one before it begins each of these calls, in their order; the server
takes as many as there are to have the rest back. The kernel makes each read atomic, so that each offer is
had by one side.

1. offers made = offers that the worker took + offers that the server took + the counter, at all times.
2. While the server has taken nothing back that the worker has not passed over, every call that is in the
   worker's socket and not begun has its offer in the counter. The worker goes through the calls in order,
   so the ``k`` offers that the server gets when it empties the counter are those of the last ``k`` calls.
3. From then on the counter is 0: the worker gets nothing for the first of these calls, nor for any behind
   it.

With either way, the worker passes over the calls that it does not have, and says so (``DROPPED``). The
server sends nothing ahead until it has heard this of all of them, so that nothing said of an old call can
be taken for a new one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from attrs import field

from modelserver.language.attributes import define
from modelserver.protocol.fence import Fence, register

WAY, COME, STOP = 3, 4, 5
"""Places among the words that both see; who has the others says ``modelserver.protocol.ahead``."""
COUNTED, FENCE_FOUND, FENCED = 0, 1, 2
"""The way that is taken: the server writes the second if it can make fences, and the worker the third if it
can have them; both before the first call is sent."""
ASKED, DECIDED = 1, 2
"""In ``STOP``: the server is about to decide; from the second on, by how much more this is than the number of
the last call that is the worker's."""
_MOMENT = 0.00002
"""Seconds from one look at what the server decides to the next."""
_take_offer: Callable[[int], int] = getattr(os, "eventfd_read", lambda descriptor: 0)
"""Found once; it is always there where an ``OfferSender`` is."""


@define(eq=False)
class OfferSender:
    """
    The server's end.

    :param counter: the counter in the kernel.
    :param words: what both see.
    :param fence: None: the system has none.
    """

    counter: int
    words: memoryview
    fence: Fence | None
    _is_fenced: bool | None = field(default=None, init=False)
    """Which way is taken; None before the first call."""
    _offered: int = field(default=0, init=False)
    _has_decided: bool = field(default=False, init=False)
    """Whether calls were taken back, and none was sent ahead since."""

    def __attrs_post_init__(self) -> None:
        self.words[WAY] = COUNTED if self.fence is None else FENCE_FOUND

    def offer(self, calls: int) -> None:
        """Let the worker begin so many calls more; comes before these leave."""
        if self._is_fenced is None:
            self._is_fenced = self.fence is not None and self.words[WAY] == FENCED
        if not self._is_fenced:
            os.eventfd_write(self.counter, calls)
            return
        self._offered += calls
        if self._has_decided:
            self._has_decided = False
            self.words[STOP] = 0

    def take_back(self) -> int:
        """Take every offer that nobody has; return how many these were."""
        return self._decide() if self._is_fenced else self._empty()

    def _decide(self) -> int:
        words, offered = self.words, self._offered
        if self._has_decided or words[COME] == offered or self.fence is None:
            return 0
        words[STOP] = ASKED
        if not self.fence():
            words[STOP] = 0  # it could be made before, and the calls are in no danger where they are
            return 0
        # A handler that writes here may have its own calls made twice, or not at all, and no others.
        come = words[COME]
        left = max(0, offered - come)
        self._has_decided = left > 0
        words[STOP] = come + DECIDED if left else 0
        return left

    def _empty(self) -> int:
        count = 0
        try:
            while True:
                count += os.eventfd_read(self.counter)
        except BlockingIOError:
            return count


class OfferReceiver:
    """
    The worker's end.

    :ivar claim: takes the offer of the next call, and returns whether there was one; without one, the call is
        not the worker's any more.
    """

    __slots__ = ("_come", "_counter", "_words", "claim")

    def __init__(self, counter: int, words: memoryview) -> None:
        self._counter = counter
        self._words = words
        self._come = 0
        self.claim: Callable[[], bool] = self._take
        if words[WAY] == FENCE_FOUND and register():
            words[WAY] = FENCED
            self.claim = self._come_to

    def _come_to(self) -> bool:
        words = self._words
        self._come = words[COME] = self._come + 1
        return not words[STOP] or self._has_come_first()

    def _has_come_first(self) -> bool:
        words = self._words
        while (stop := words[STOP]) == ASKED:
            time.sleep(_MOMENT)
        return not stop or self._come <= stop - DECIDED

    def _take(self) -> bool:
        try:
            _take_offer(self._counter)
        except BlockingIOError:
            return False
        return True

    def passed_over(self, calls: int) -> None:
        """Come to so many calls more, which are taken back, behind one that could not be claimed."""
        if self._words[WAY] == FENCED:
            self._come = self._words[COME] = self._come + calls
