"""What a call of a handler comes to: the rows of its result, or of its failure."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from modelserver.child.context import Context, EntryPoint, RequestProcessor
from modelserver.child.data.answers import ReplyRow, answer_rows, failed_rows
from modelserver.child.data.decoder import Row
from modelserver.child.data.refusals import RowsRefused, answers_apart
from modelserver.child.device_faults import DeviceFailed
from modelserver.child.failures import report_failure

MORE_FOLLOWS = "ts_stream_next"
"""The header that marks the parts of a streamed answer, as in TorchServe: ``true``; ``false`` at the end."""

Call = Callable[[list[Row], list[RequestProcessor]], list[ReplyRow]]
"""Calls the handler with the data of a batch; returns one row for each request."""
RowsOf = Callable[[object, Sequence[RequestProcessor]], list[ReplyRow]]
"""Makes one row for each request of what a call has returned."""


UNASKED = (RequestProcessor(b""),)
"""Stands for the one request of a handler that has not looked at it: nothing is set for its answer."""


def handler_call(entry: EntryPoint, context: Context, rows_of: RowsOf) -> Call:
    """
    Return the function that calls a handler; what the handler raises becomes rows, too.

    That is more than ``Exception``: libraries call ``sys.exit``, extensions in Rust raise their panics, and a
    coroutine may be cancelled. None of it is a reason to lose the model, and the requests that wait for it.
    """
    process = os.getpid()

    def call(data: list[Row], processors: list[RequestProcessor]) -> list[ReplyRow]:
        refused: RowsRefused | None = None
        try:
            try:
                result = entry(data, context)
            except RowsRefused as error:
                refused = error
            if refused is not None:
                result = answers_apart(refused, entry, data, context)
        except DeviceFailed:
            raise
        except BaseException as error:
            if os.getpid() != process:  # the handler has forked: what ends there is not the call
                raise
            return rows_of_failure(error, len(data), context)
        return rows_of(result, processors)

    return call


def last_rows(largest: int) -> RowsOf:
    """
    Return the function that makes the rows of a result with which streams end.

    It is given no processors where the handler has asked for none, for a single request.

    :param largest: bytes that one answer may have (``max_response_size``).
    """

    def rows_of(result: object, processors: Sequence[RequestProcessor]) -> list[ReplyRow]:
        if not processors:
            return answer_rows(result, UNASKED, largest)
        for processor in processors:
            if processor.changed and processor.get_response_header(MORE_FOLLOWS):
                processor.add_response_property(MORE_FOLLOWS, "false")
        return answer_rows(result, processors, largest)

    return rows_of


def rows_of_failure(error: BaseException, count: int, context: Context) -> list[ReplyRow]:
    """Return the rows of a call that raised; that all clients have left is no failure of the handler."""
    report_failure(error, context)
    return failed_rows(error, count)
