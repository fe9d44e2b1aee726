"""Batches in which some requests are refused, or served apart: each fault is its own request's only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from copy import copy
from typing import Any, TypeGuard, TypeVar

from modelserver.child.context import Context, EntryPoint, PredictionException
from modelserver.child.data.streaming import NOTHING
from modelserver.child.failures import is_out_of_resources, report_failure
from modelserver.child.tracebacks import text_of

BAD_REQUEST = 400
MISMATCH = "number of batch response mismatched"
NO_LIST = "Invalid model predict output"

Opened = TypeVar("Opened")
Groups = list[list[int]]
Part = tuple[Sequence[object], Context]
"""Some rows of a batch, and the context of their requests."""
Outcome = tuple[object, Exception | None]
"""What a handler returned, or raised."""
SendParts = Callable[[Sequence[object]], None]


class RowsRefused(PredictionException):
    """
    Raised by a handler that has answered nothing yet: some rows of its batch are refused.

    It is called again with the others, and with a context that knows their requests only.

    :param refusals: by the row's place in the batch, what its client is told; or an exception that says so.
    :param error_code: the HTTP status of those that are only told a text.
    :param groups: places of the other rows, a call for each group; unless said, they are one group.
    """

    def __init__(
        self,
        refusals: Mapping[int, str | Exception],
        error_code: int = BAD_REQUEST,
        groups: Iterable[Sequence[int]] = (),
    ) -> None:
        self.refusals = {
            place: PredictionException(told, error_code) if isinstance(told, str) else told
            for place, told in refusals.items()
        }
        self._groups = [list(group) for group in groups if group]
        first = next(iter(self.refusals.values()), None)
        text = "The rows do not fit together" if first is None else getattr(first, "message", str(first))
        super().__init__(str(text), getattr(first, "error_code", error_code))

    def groups(self, count: int) -> Groups:
        """
        Return the places that are to be called again, in their groups.

        :param count: rows of the batch.
        :raises ValueError: there are no such rows, or the same call would be made again.
        """
        rest = [place for place in range(count) if place not in self.refusals]
        groups = self._groups or ([rest] if rest else [])
        if (
            sorted(place for group in groups for place in group) != rest
            or len(rest) + len(self.refusals) != count
        ):
            raise ValueError(f"The handler refused or grouped rows that its batch of {count} does not have")
        if groups == [list(range(count))]:
            raise ValueError("The handler refused no row")
        return groups


def opened(rows: Sequence[object], open_row: Callable[[Any], Opened]) -> list[Opened]:
    """
    Return what ``open_row`` makes of each row.

    :raises RowsRefused: it raised for some of them: whatever it was, that is what is wrong with the request.
    """
    found: list[Opened] = []
    refusals: dict[int, str | Exception] = {}
    for place, row in enumerate(rows):
        try:
            found.append(open_row(row))
        except Exception as error:
            refusals[place] = refusal_of(error)
    if refusals:
        raise RowsRefused(refusals)
    return found


def refusal_of(error: Exception) -> Exception:
    """Return what a client is told whose request was not to be opened: 400, unless the error says another."""
    if isinstance(error, PredictionException) or is_out_of_resources(error):
        return error
    told = PredictionException(f"The request cannot be read: {reason(error)}", BAD_REQUEST)
    told.__cause__ = error
    return told


def reason(error: BaseException) -> str:
    """Return the text of an exception, or its name if it has none."""
    return text_of(error) or type(error).__name__


def require_equal(traits: Sequence[object]) -> None:
    """
    Let rows through that have one trait, such as a shape, in common.

    :raises RowsRefused: they have several: those that are equal are to be served together.
    """
    groups: dict[object, list[int]] = {}
    for place, trait in enumerate(traits):
        groups.setdefault(trait, []).append(place)
    if len(groups) > 1:
        raise RowsRefused({}, groups=groups.values())


def has_requests(context: Context | None) -> TypeGuard[Context]:
    """Whether a context knows its requests: those that handlers' own tests make may not."""
    return bool(getattr(context, "request_processor", None))


def narrowed(context: Context, places: Sequence[int], count: int) -> Context:
    """A context for some of ``count`` requests of a batch: the very same one if it is for all of them."""
    if len(places) == count or not has_requests(context):
        return context
    part = copy(context)
    ids = context.request_ids or {}
    beside = getattr(context.metrics, "beside", None)
    if beside is not None:
        part.metrics = beside()
    part.request_processor = [context.request_processor[place] for place in places]
    part.request_ids = {number: ids[place] for number, place in enumerate(places) if place in ids}
    part.repeated_fields = {
        number: context.repeated_fields[place]
        for number, place in enumerate(places)
        if place in context.repeated_fields
    }
    if context.send_parts is not None:
        part.send_parts = _for_all(context.send_parts, places, count)
    return part


def _for_all(send_parts: SendParts, places: Sequence[int], count: int) -> SendParts:
    """Send the parts of some requests; the others of their batch get nothing."""

    def send(parts: Sequence[object]) -> None:
        whole: list[object] = [NOTHING] * count
        for place, part in zip(places, parts, strict=True):
            whole[place] = part
        send_parts(whole)

    return send


def answers_apart(
    refused: RowsRefused, entry: EntryPoint, data: Sequence[object], context: Context
) -> list[object]:
    """
    Return the answers of a batch of which a handler has refused some rows; exceptions stand for their errors.

    :raises ValueError: the handler refused rows that there are not.
    """
    calls = _calls(refused, data, context)
    outcome: Outcome | None = None
    while True:
        try:
            part = calls.send(outcome)
        except StopIteration as done:
            return list(done.value)
        outcome = _outcome_of(entry, part)


def _outcome_of(entry: EntryPoint, part: Part) -> Outcome:
    try:
        return entry(*part), None
    except Exception as error:
        return None, error


async def answers_apart_async(
    refused: RowsRefused,
    entry: Callable[[object, Context], Awaitable[object]],
    data: Sequence[object],
    context: Context,
) -> list[object]:
    """Do the same for a handler that is asynchronous."""
    calls = _calls(refused, data, context)
    outcome: Outcome | None = None
    while True:
        try:
            part = calls.send(outcome)
        except StopIteration as done:
            return list(done.value)
        try:
            outcome = await entry(*part), None
        except Exception as error:
            outcome = None, error


def _calls(
    refused: RowsRefused, data: Sequence[object], context: Context
) -> Generator[Part, Outcome | None, list[object]]:
    """Yield what the handler is to be called with, be sent what came of it, and return all answers."""
    count = len(data)
    answers: list[object] = [None] * count
    waiting: Groups = []
    criteria: dict[int, Callable[[object], object]] = {}

    def set_aside(again: RowsRefused, places: Sequence[int]) -> None:
        waiting.extend([[places[at] for at in group] for group in again.groups(len(places))])
        for at, error in again.refusals.items():
            answers[places[at]] = error

    set_aside(refused, range(count))
    while waiting:
        places = waiting.pop(0)
        part = narrowed(context, places, count)
        outcome = yield [data[place] for place in places], part
        assert outcome is not None, "it is sent after each call"
        result, error = outcome
        if isinstance(error, RowsRefused):
            set_aside(error, places)
            continue
        if error is not None:
            report_failure(error, part)
        results = _checked(result, len(places)) if error is None else [error] * len(places)
        for place, result in zip(places, results, strict=True):
            answers[place] = result
        of_part = getattr(part, "stopping_criteria", None) or {}
        criteria.update({places[at]: of_part[at] for at in range(len(places)) if at in of_part})
    if criteria:
        context.stopping_criteria = criteria
    return answers


def _checked(results: object, count: int) -> list[object]:
    if isinstance(results, list) and len(results) == count:
        return results
    return [PredictionException(MISMATCH if isinstance(results, list) else NO_LIST, 503)] * count
