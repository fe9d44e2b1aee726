"""Continuous batching: a set of live requests, of which the handler makes one step a turn."""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from functools import partial

from modelserver.child.context import RequestProcessor
from modelserver.child.data.admitted import DecodedRequest, repeated_fields, shown_ids
from modelserver.child.data.answers import (
    ReplyRow,
    answer_rows,
    error_row,
    failed_rows,
    part_rows,
    refused_row,
    verdict,
)
from modelserver.child.data.decoder import BadForm
from modelserver.child.failures import ClientsGone, report_failure
from modelserver.child.loops.calls import MORE_FOLLOWS, handler_call
from modelserver.child.loops.inbox import Inbox
from modelserver.child.loops.loaded import LoadedModel
from modelserver.child.loops.outbox import Outbox
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import pack_answers

SUCCESSION = 0.002
"""Seconds that a turn waits for the successors of those who have left."""


class ActiveRequest:
    """
    A request that is not finished.

    :param number: that of its frame, by which the server knows it.
    """

    __slots__ = ("begun", "number", "request")

    def __init__(self, number: int, request: DecodedRequest) -> None:
        self.number = number
        self.request = request
        self.begun = time.perf_counter()


class ContinuousLoop:
    """
    Calls the handler for as long as there are live requests, each time with all of them: those that it has
    seen with an empty row, in the order of their arrival, then those that came since.

    A request leaves when the handler's stopping criterion says so, or has nothing to say; when it fails; and
    when its client has left.
    """

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._context = model.context
        self._largest = model.request.max_response_size
        self._call = handler_call(model.entry, model.context, self._rows_of)
        self._inbox = Inbox(model.connection, model.reader)
        self._outbox = Outbox(model.connection, device=model.device)
        self._live: dict[int, ActiveRequest] = {}

    def run(self) -> None:
        """
        Serve until the server closes the socket.

        :raises ConnectionError: the server closed the socket.
        """
        for frame in self._model.reader:
            self._take_in(frame)
        while True:
            self._listen(wait=not self._live)
            while self._inbox.ahead:
                self._take_in(self._inbox.ahead.popleft())
            count = len(self._live)
            if count:
                self._turn()
                if 0 < len(self._live) < count:
                    # Who waits in the server's queue for a place shall not miss the next turn.
                    select.select([self._model.connection], [], [], SUCCESSION)

    def _listen(self, wait: bool) -> None:
        for frame in self._inbox.listen(wait):
            self._note(frame)

    def _take_in(self, frame: frames.Frame) -> None:
        if frame.kind != frames.BATCH:
            self._note(frame)
            return
        items = frames.unpack_batch(frame, self._model.memory)
        if len(items) != 1:
            raise frames.FrameError(f"{len(items)} requests in one frame; they join one by one")
        try:
            request = DecodedRequest(self._model.decoder, items[0])
        except BadForm as error:
            self._finish(frame.number, 0.0, refused_row(str(error)))
            self._outbox.release()
        else:
            self._live[frame.number] = ActiveRequest(frame.number, request)

    def _note(self, frame: frames.Frame) -> None:
        """A client that has left is no longer among the live ones; the server is told that it is so."""
        left = self._live.pop(frame.number, None) if frame.kind == frames.CANCEL else None
        if left is not None:
            (row,) = failed_rows(ClientsGone("the client has left"), 1)
            self._finish(left.number, left.begun, row)
            self._outbox.release()
        elif frame.kind != frames.CANCEL:
            self._inbox.note(frame)

    def _finish(self, number: int, begun: float, row: ReplyRow) -> None:
        seconds = time.perf_counter() - begun if begun else 0.0
        self._outbox.hold(pack_answers(frames.ANSWERS, number, seconds, [row]))

    def _turn(self) -> None:
        live = list(self._live.values())
        requests = [each.request for each in live]
        processors = [request.processor() for request in requests]
        self._context.begin(partial(shown_ids, requests), processors, repeated_fields(requests))
        self._context.send_parts = partial(self._send_turn, live, processors)
        rows = self._call([request.row for request in requests], processors)
        for each, row, processor in zip(live, rows, processors, strict=True):
            if each.number not in self._live:
                continue  # its client left during this turn
            if row[0] & frames.ERROR or processor.get_response_header(MORE_FOLLOWS) != "true":
                del self._live[each.number]
                self._finish(each.number, each.begun, row)
            else:
                each.request.empty()
                self._outbox.hold(pack_answers(frames.PART, each.number, 0, [row]))
        self._outbox.hold_metrics(self._context)
        self._outbox.release()

    def _rows_of(self, result: object, processors: Sequence[RequestProcessor]) -> list[ReplyRow]:
        """The rows of a turn; which streams end with it, the handler's criteria decide."""
        failed = self._decide(result, processors)
        rows = answer_rows(result, processors, self._largest)
        return [failed.get(place, row) for place, row in enumerate(rows)]

    def _decide(self, result: object, processors: Sequence[RequestProcessor]) -> dict[int, ReplyRow]:
        """Ask the handler's criteria which requests are finished; returns the rows of those that failed."""
        failed: dict[int, ReplyRow] = {}
        criteria = self._context.stopping_criteria
        for place, processor in enumerate(processors):
            if not criteria:
                if processor.changed and processor.get_response_header(MORE_FOLLOWS) == "true":
                    processor.add_response_property(MORE_FOLLOWS, "false")
            elif isinstance(result, list) and len(result) == len(processors):
                if isinstance(result[place], Exception):
                    continue  # the answer is its error
                try:
                    is_finished = criteria[place](result[place])
                except Exception as error:
                    report_failure(error, self._context)
                    failed[place] = error_row(*verdict(error), error)
                    continue
                if is_finished is not None:
                    processor.add_response_property(MORE_FOLLOWS, "false" if is_finished else "true")
        return failed

    def _send_turn(
        self, live: Sequence[ActiveRequest], processors: Sequence[RequestProcessor], parts: Sequence[object]
    ) -> None:
        """
        Send one part to each live request in the middle of a turn.

        :raises ClientsGone: every client has left.
        :raises ValueError: there is not one part for each request.
        """
        for processor in processors:
            processor.add_response_property(MORE_FOLLOWS, "true")
        rows = part_rows(parts, processors, self._largest)
        self._listen(wait=False)
        present = [(each, row) for each, row in zip(live, rows, strict=True) if each.number in self._live]
        if not present:
            raise ClientsGone("the client has left")
        for each, row in present:
            self._outbox.hold(pack_answers(frames.PART, each.number, 0, [row]))
        self._outbox.release()
