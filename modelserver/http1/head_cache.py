"""The heads that a listener has read: most clients send the same one again and again."""

from __future__ import annotations

from attrs import define, field

from modelserver.http1.head import Head, Lines, parse_head
from modelserver.http1.states import Front
from modelserver.protocol.shared_memory import LARGE

MEMO_SIZE = 2048
"""Heads that are remembered, for all connections of a listener."""
LONGEST_REMEMBERED = 2048
"""Bytes of such a head at most: none that is made to fill the memory."""


@define(eq=False)
class HeadMemo:
    """
    Reads each head once, and each line of those that differ in a line.

    :param known: heads by their bytes, with what the front made of them.
    """

    front: Front
    known: dict[bytes, Head] = field(factory=dict, init=False)
    _lines: Lines = field(factory=Lines, init=False)

    def read(self, block: bytes) -> Head:
        """
        A head with what its request is for, if a channel can serve it.

        :raises Malformed: it is none.
        """
        head = self.parse(block)
        if not head.is_plain or not self.front.look(head):
            head.operation = ""
        elif head.length is not None and head.length < min(LARGE, self.front.max_request_size + 1):
            head.whole = len(block) + head.length
        # One with a line that nobody has sent before may have one that nobody will send again.
        if not head.is_new and len(block) <= LONGEST_REMEMBERED:
            if len(self.known) >= MEMO_SIZE:
                self.known.clear()
            self.known[block] = head
        return head

    def parse(self, block: bytes) -> Head:
        """
        A head as it was sent.

        :raises Malformed: it is none.
        """
        return parse_head(block, len(block), self._lines)
