"""Request envelopes: bodies in a known format become rows for the handler, and its results answers again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from modelserver.child.context import Context, EntryPoint, PredictionException
from modelserver.child.data.refusals import BAD_REQUEST, RowsRefused, has_requests
from modelserver.child.data.rows import row_value

Rows = Sequence[object]

PHRASES = {400: "Bad Request", 413: "Content Too Large", 415: "Unsupported Media Type"}
CLIENT_ERRORS = range(400, 500)


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


def refused(context: Context | None, place: int, text: str, code: int = BAD_REQUEST) -> object:
    """The answer to a request that was refused: its status, and why."""
    if has_requests(context):
        context.set_response_status(code, PHRASES.get(code, ""), place)
        # Clients read an error where the type says that it is one to be read: KServe's wrapper does.
        context.set_response_content_type(place, "application/json")
    return {"error": text}


def shown(context: Context | None, place: int, answer: object) -> object:
    """An answer; the error of a refused request as its client knows errors of the envelope's protocol."""
    code = getattr(answer, "error_code", None)
    if isinstance(answer, PredictionException) and isinstance(code, int) and code in CLIENT_ERRORS:
        return refused(context, place, str(answer.message), code)
    return answer


def first_error(results: object) -> Exception | None:
    """The first exception among a request's results, with which a handler has refused one of its rows."""
    if not isinstance(results, list):
        return None
    return next((result for result in results if isinstance(result, Exception)), None)


def of_requests(refusal: RowsRefused, owners: Sequence[int], count: int) -> RowsRefused:
    """
    A refusal of rows as one of the requests that they came from; one bad row is its whole request's fault.

    :param owners: the place of each row's request in the batch.
    :param count: requests of the batch.
    """
    refusals: dict[int, str | Exception] = {}
    groups: dict[int, list[int]] = {}
    group_of: dict[int, int] = {}
    for number, group in enumerate(refusal.groups(len(owners))):
        for row in group:
            if group_of.setdefault(owners[row], number) != number:
                refusals[owners[row]] = "The request's inputs do not fit together."
    for row, error in refusal.refusals.items():
        refusals[owners[row]] = error
    for place in range(count):
        if place not in refusals:
            groups.setdefault(group_of.get(place, 0), []).append(place)
    return RowsRefused(refusals, groups=groups.values())
