"""Requests that stay for longer than one call: decoded at once, for their frame will be gone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from modelserver.child.context import RequestProcessor
from modelserver.child.data.decoder import Decoder, HeaderBlock, Row
from modelserver.protocol import frames


class DecodedRequest:
    """
    A request that a handler will get.

    :param row: what the handler finds in ``data``.
    :param repeated: all values of the names that a form repeats, or None.
    """

    __slots__ = ("_decoder", "_encode", "_head", "_item", "_kinds", "id", "repeated", "row")

    def __init__(self, decoder: Decoder, item: frames.Item) -> None:
        """
        Decode a request.

        :raises BadForm: its body is not the form that its content type says.
        """
        self.id = item.id
        self._decoder = decoder
        self._head: HeaderBlock = decoder.head(item.head)
        self.row: Row
        self.row, self.repeated, self._kinds = decoder.row(self._head, item)
        self._item = item._replace(body=memoryview(b""))
        self._encode = decoder.encoder_of(self.row, item)

    def processor(self) -> RequestProcessor:
        """Its headers, and room for what the handler wants its answer to carry."""
        processor = RequestProcessor(partial(self._decoder.headers, self._head, self._item, self._kinds))
        processor.encode = self._encode
        return processor

    def empty(self) -> None:
        """The handler has had the data: from now on it gets an empty row, without types of fields."""
        self.row, self.repeated, self._kinds = {}, None, {}


def shown_ids(requests: Sequence[DecodedRequest]) -> dict[int, str]:
    """The requests' ids as handlers see them, by place."""
    return {place: frames.show_id(request.id).decode() for place, request in enumerate(requests)}


def repeated_fields(requests: Sequence[DecodedRequest]) -> dict[int, dict[str, list[object]]]:
    """The fields that forms repeat, by place."""
    return {place: request.repeated for place, request in enumerate(requests) if request.repeated}
