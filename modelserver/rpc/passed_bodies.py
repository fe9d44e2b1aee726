"""Copies bodies that bypass an HTTP/2 engine to where workers will read them, and counts their bytes."""

from __future__ import annotations

from modelserver.rpc.large_calls import LargeCalls
from modelserver.rpc.passing import FRAME_HEAD, Passage, head_at


class PassedBodies:
    """The bodies of a connection's large calls, piece by piece."""

    __slots__ = ("_calls", "_passing", "_touched")

    def __init__(self, calls: LargeCalls) -> None:
        self._calls = calls
        self._passing = calls.passing
        self._touched: list[Passage] = []
        """Those on which something has come that is not counted yet."""

    def take(self, passage: Passage, piece: memoryview) -> None:
        """Take a piece of a frame."""
        self._note(passage, len(piece))
        if passage.call.is_over:  # nobody waits for it any more
            self._passing.alike.pop(passage.head, None)  # frames that are taken at once are not skipped
            passage.large.skip(len(piece))
        else:
            passage.large.add(piece)

    def lies(self, passage: Passage, size: int) -> None:
        """Count a piece that was read to where it belongs."""
        self._note(passage, size)
        passage.large.skip(size)
        self.count()

    def _note(self, passage: Passage, size: int) -> None:
        """Note bytes that are to be counted."""
        if not passage.taken:
            self._touched.append(passage)
        passage.taken += size

    def take_alike(self, data: memoryview, at: int, last: int) -> int:
        """
        Take whole frames with heads that are known: nearly all of large bodies.

        :param at: where the first begins.
        :param last: where the data ends.
        :return: where they end.
        """
        find, memory = self._passing.alike.get, self._passing.memory
        most = last - FRAME_HEAD
        while at <= most:
            passage = find(head_at(data, at))
            if passage is None:
                break
            size, large = passage.size, passage.large
            begin, body = large.at, at + FRAME_HEAD
            to, end = begin + size, body + size
            if end > last or to > large.end:
                break
            if not passage.taken:  # else nothing but such frames has come since this was asked
                if passage.call.is_over:
                    break
                self._touched.append(passage)
            memory[begin:to] = data[body:end]
            large.at = to
            passage.taken += size
            at = end
        return at

    def count(self) -> None:
        """Count what has gone past the engine: once for many frames."""
        if not self._touched:
            return
        touched, self._touched = self._touched, []
        self._calls.large_came(touched)
        size = 0
        for passage in touched:
            size += passage.taken
            passage.missed += passage.taken
            passage.taken = 0
        self._passing.passed(size)
