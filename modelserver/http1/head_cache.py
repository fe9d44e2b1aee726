"""The heads that a listener has read: most clients send the same one again and again."""

from __future__ import annotations

from attrs import field

from modelserver.http1.head import LineCache, RequestHead, parse_head
from modelserver.http1.states import RequestHandler
from modelserver.language.attributes import define
from modelserver.protocol.shared_memory import LARGE

MOST_HEADS = 2048
"""Heads that are remembered, for all connections of a listener."""
LONGEST_REMEMBERED = 2048
"""Bytes of such a head at most: none that is made to fill the memory."""


@define(eq=False)
class HeadCache:
    """
    Reads each head once, and each line of those that differ in a line.

    :param known: heads by their bytes, each with the operation that the handler found in it.
    """

    handler: RequestHandler
    known: dict[bytes, RequestHead] = field(factory=dict, init=False)
    _lines: LineCache = field(factory=LineCache, init=False)

    def read(self, block: bytes) -> RequestHead:
        """
        Return a head with its operation, if a connection can serve the request itself.

        :param block: the head, the empty line included.
        :raises Malformed: it is no head.
        """
        head = self.parse(block)
        head.operation = self.handler.classify(head) if head.is_plain else None
        most = min(LARGE, self.handler.max_request_size + 1)
        if head.operation is not None and head.length is not None and head.length < most:
            head.whole = len(block) + head.length
        # One with a line that nobody has sent before may have one that nobody will send again.
        if not head.is_new and len(block) <= LONGEST_REMEMBERED:
            if len(self.known) >= MOST_HEADS:
                self.known.clear()
            self.known[block] = head
        return head

    def parse(self, block: bytes) -> RequestHead:
        """
        Return a head without an operation.

        :param block: the head, the empty line included.
        :raises Malformed: it is no head.
        """
        return parse_head(block, len(block), self._lines)
