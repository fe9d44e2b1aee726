"""Request envelopes: bodies in a known format become rows for the handler, and its results answers again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import TypeGuard

from modelserver.child.context import Context, EntryPoint
from modelserver.child.data.rows import row_value

Rows = Sequence[object]

MISMATCH = "number of batch response mismatched"


class EnvelopeRefused(ValueError):
    """One request does not fit its envelope; the others of its batch are served all the same."""


class BaseEnvelope(ABC):
    """
    Stands between the loop and a handler. Lives for one batch.

    :param handle_fn: the handler's entry point.
    """

    def __init__(self, handle_fn: EntryPoint) -> None:
        self._handle_fn = handle_fn
        self.context: Context | None = None

    def handle(self, data: Rows, context: Context) -> object:
        """Open the requests, call the handler, close its results."""
        self.context = context
        return self.format_output(self._handle_fn(self.parse_input(data), context))

    @abstractmethod
    def parse_input(self, data: Rows) -> object:
        """The rows for the handler."""

    @abstractmethod
    def format_output(self, data: object) -> object:
        """The answers for what the handler returned."""


class BodyEnvelope(BaseEnvelope):
    """The handler gets each request's value itself, not the dict around it."""

    def parse_input(self, data: Rows) -> object:
        """The values of ``data`` or ``body``."""
        return [row_value(row) for row in data]

    def format_output(self, data: object) -> object:
        """What the handler returned, as it is."""
        return data


def has_requests(context: Context | None) -> TypeGuard[Context]:
    """Whether a context knows its requests: those that handlers' own tests make may not."""
    return bool(getattr(context, "request_processor", None))


def refused(context: Context | None, place: int, text: str) -> object:
    """The answer to a request that was refused: 400 and why."""
    if has_requests(context):
        context.set_response_status(400, "Bad Request", place)
    return {"error": text}


def narrowed(context: Context, places: Sequence[int], count: int) -> Context:
    """A context for some of ``count`` requests of a batch: the very same one if it is for all of them."""
    if len(places) == count or not has_requests(context):
        return context
    part = copy(context)
    ids = context.request_ids or {}
    part.request_processor = [context.request_processor[place] for place in places]
    part.request_ids = {number: ids[place] for number, place in enumerate(places) if place in ids}
    part.repeated_fields = {
        number: context.repeated_fields[place]
        for number, place in enumerate(places)
        if place in context.repeated_fields
    }
    return part
