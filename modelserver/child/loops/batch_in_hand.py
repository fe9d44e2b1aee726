"""The batch that a worker's handler has at present."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from modelserver.child.context import RequestProcessor
from modelserver.child.data.answers import ReplyRow, refused_row
from modelserver.child.data.decoder import ANSWERS, BadForm, Decoder, HeaderBlock, Row
from modelserver.language.attributes import define
from modelserver.protocol.frames import TRACED, Item, show_id

UNUSUAL = ANSWERS | TRACED
"""Flags of the requests that need more than the others."""
NONE_REFUSED = (None,)
"""Of a batch of one: see ``BatchInHand.with_refused``."""


@define
class HeldBatch:
    """
    What a handler gets of several requests.

    :param repeated: all values of the names that forms repeat, by the places of their requests.
    :param flags: of the requests that need more than the others, together.
    """

    data: list[Row]
    ids: list[bytes]
    repeated: dict[int, dict[str, list[object]]]
    flags: int


class BatchInHand:
    """
    The batch that the handler has: one object, which each batch sets anew.

    :param first: the place of its first request among those it travels with.
    :param has_parts: whether parts of its answers have left.
    :param processors: of the requests that the handler gets; of a single one, only once somebody asks.
    :param refused: for each request the answer that it has without the handler, or None.
    :param single: the request of a batch of one, with its head and the types of its fields.
    """

    __slots__ = ("_decoder", "first", "has_parts", "number", "processors", "refused", "single")

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.number = 0
        self.first = 0
        self.has_parts = False
        self.processors: list[RequestProcessor] = []
        self.refused: Sequence[ReplyRow | None] = ()
        self.single: tuple[Item, HeaderBlock, dict[str, str] | None] | None = None

    def hold_one(self, item: Item, head: HeaderBlock, kinds: dict[str, str] | None) -> None:
        """Have a single request in hand, for the handler."""
        self.single = item, head, kinds
        self.refused = NONE_REFUSED
        if self.processors:
            self.processors = []

    def hold(self, items: Sequence[Item]) -> HeldBatch:
        """Have several requests in hand; those that cannot be decoded are not for the handler."""
        decoder = self._decoder
        refused: list[ReplyRow | None] = [None] * len(items)
        processors: list[RequestProcessor] = []
        held = HeldBatch([], [], {}, 0)
        for place, item in enumerate(items):
            head = decoder.head(item.head)
            try:
                row, names, kinds = decoder.row(head, item)
            except BadForm as error:
                refused[place] = refused_row(str(error))
                continue
            if names:
                held.repeated[len(held.data)] = names
            held.data.append(row)
            held.ids.append(item.id)
            processors.append(RequestProcessor(partial(decoder.headers, head, item, kinds)))
            if item.flags & UNUSUAL:
                held.flags |= item.flags
                if item.flags & ANSWERS:
                    processors[-1].encode = decoder.encoder_of(row, item)
        self.processors, self.refused, self.single = processors, refused, None
        return held

    def made_processors(self) -> list[RequestProcessor]:
        """Return ``processors``, made now if they are not."""
        if not self.processors and self.single is not None:
            item, head, kinds = self.single
            self.processors.append(RequestProcessor(partial(self._decoder.headers, head, item, kinds)))
        return self.processors

    def shown_id(self) -> dict[int, str]:
        """Return the id of a single request, by its place."""
        return {} if self.single is None else show_ids((self.single[0].id,))

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


def show_ids(ids: Sequence[bytes]) -> dict[int, str]:
    """Return ids as clients see them, by the places of their requests in a batch."""
    return {place: show_id(request_id).decode() for place, request_id in enumerate(ids)}
