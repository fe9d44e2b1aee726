"""The batch that a worker's handler has at present."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.child.context import RequestProcessor
from modelserver.child.data.answers import ReplyRow


class BatchInHand:
    """
    The batch that the handler has: one object, which each batch sets anew.

    :param first: the place of its first request among those it travels with.
    :param has_parts: whether parts of its answers have left.
    :param processors: of the requests that the handler gets.
    :param refused: for each request the answer that it has without the handler, or None.
    """

    __slots__ = ("first", "has_parts", "number", "processors", "refused")

    def __init__(self) -> None:
        self.number = 0
        self.first = 0
        self.has_parts = False
        self.processors: list[RequestProcessor] = []
        self.refused: Sequence[ReplyRow | None] = ()

    def with_refused(self, answers: list[ReplyRow]) -> list[ReplyRow]:
        """Return the rows of the requests that the handler got, and of the others, in the batch's order."""
        if len(answers) == len(self.refused):
            return answers
        others = iter(answers)
        return [next(others) if row is None else row for row in self.refused]

    def is_deserted(self, gone: set[tuple[int, int]]) -> bool:
        """
        Return whether every client that waits for the handler has left.

        :param gone: number and place of the clients that have left.
        """
        number, places = self.number, enumerate(self.refused, self.first)
        return all(row is not None or (number, place) in gone for place, row in places)
