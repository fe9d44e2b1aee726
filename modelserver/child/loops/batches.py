"""A worker's life after loading: read a batch, call the handler once, write one answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from modelserver.child.call_trace import CallTrace
from modelserver.child.data.answers import ReplyRow, refused_row
from modelserver.child.data.decoder import ANSWERS, BadForm, Row
from modelserver.child.device_faults import DeviceFailed
from modelserver.child.loops.batch_in_hand import UNUSUAL, BatchInHand, show_ids
from modelserver.child.loops.calls import Call
from modelserver.child.loops.inbox import Inbox
from modelserver.child.loops.loaded import LoadedModel
from modelserver.child.loops.outbox import JOIN, Outbox
from modelserver.child.loops.parts_out import PartsOut
from modelserver.child.loops.wait import SpinThenBlock
from modelserver.jobs import answer_of
from modelserver.protocol import frames
from modelserver.protocol.call_times import pack_marks, pack_times
from modelserver.protocol.shared_memory import LARGE
from modelserver.protocol.trace_line import LENGTH as TRACE_LINE
from modelserver.system.cpus import usable_processors

ONLY = (0,)
"""The place of a request that is a batch by itself."""


class BatchLoop:
    """
    Serves batches on a blocking socket, one after the other.

    :param call: calls the handler.
    :param uses_slots: large answers go where their requests say; the server copies them from there.
    """

    def __init__(self, model: LoadedModel, call: Call, uses_slots: bool) -> None:
        self._model = model
        self._call = call
        self._uses_slots = uses_slots
        self._context = model.context
        self._decoder = model.decoder
        self._inbox = Inbox(model.connection, model.reader)
        answers = None if model.ahead is None else model.ahead.answers
        self._outbox = Outbox(model.connection, answers, model.device)
        self._claim = None if model.ahead is None else model.ahead.offers.claim
        self._batch = batch = BatchInHand(model.decoder)
        self._trace: CallTrace | None = None
        # Bound once: a call of a handler that asks for neither makes nothing.
        self._single_id, self._processors = batch.shown_id, batch.made_processors
        self._waiting = SpinThenBlock(model.connection, model.reader, usable_processors())
        self._parts = PartsOut(
            self._batch,
            self._inbox,
            self._outbox,
            model.connection,
            None if model.ahead is None else model.ahead.parts,
            model.request.max_response_size,
        )
        model.context.send_parts = self._parts.send

    def run(self) -> None:
        """
        Serve until the server closes the socket.

        :raises EOFError: the server closed the socket.
        :raises DeviceFailed: this process can use its device no more.
        """
        reader, inbox, outbox, ahead = self._model.reader, self._inbox, self._outbox, self._inbox.ahead
        waiting = self._waiting
        was_alone = False
        while True:
            frame = ahead.popleft() if ahead else reader.next()
            if frame is None:
                outbox.release()
                inbox.gone.clear()
                frame = waiting.frame(was_alone)
            was_alone = frame.items == 1
            if frame.kind == frames.BATCH:
                try:
                    self._serve(frame)
                except DeviceFailed:
                    outbox.release()  # answers of the calls before
                    raise
            else:
                inbox.note(frame)

    def _serve(self, frame: frames.Frame) -> None:
        memory, outbox = self._model.memory, self._outbox
        claim = self._claim if frame.flags & frames.AHEAD else None
        self._batch.number = frame.number
        if claim is not None and not claim():
            self._pass_over(frame, 0)
        elif not frame.flags & frames.PIPELINED:
            self._call_timed(frames.unpack_batch(frame, memory), 0)
        else:
            if len(frame.payload) >= frames.SMALL:
                # Views do not outlive the next look into the socket, which a handler that streams takes.
                frame = frame._replace(payload=memoryview(bytes(frame.payload)))
            for place, item in enumerate(frames.unpack_batch(frame, memory)):
                if place and claim is not None and not claim():
                    self._pass_over(frame, place)
                    break
                self._call_timed((item,), place)
        outbox.hold_metrics(self._context)

    def _pass_over(self, frame: frames.Frame, first: int) -> None:
        """Make no call for the jobs of a frame from ``first`` on: the server has taken them back."""
        calls = frame.items - first if frame.flags & frames.PIPELINED else 1
        if self._model.ahead is not None:
            self._model.ahead.offers.passed_over(calls - 1)
        self._outbox.hold([frames.pack_bare(frames.DROPPED, frame.number, calls)])
        self._outbox.release()

    def _call_timed(self, items: Sequence[frames.Item], first: int) -> None:
        """
        Answer one batch.

        :param first: its place among those it travels with.
        """
        batch = self._batch
        batch.first = first
        begun = time.perf_counter()
        rows = self._answer_one(items[0], begun) if len(items) == 1 else self._answer(items, begun)
        now = time.perf_counter()
        if self._trace is not None:
            self._tell_times(self._trace)
        if (
            now - begun > JOIN
        ):  # quicker answers wait for the others of their frame, and what was counted with them
            self._outbox.hold_metrics(self._context, ahead=True)
        has_places = self._uses_slots and (len(items) > 1 or items[0].answer_at >= 0)
        if has_places:
            self._outbox.lay(True)
            rows = self._in_slots(rows, items)
        if batch.has_parts:
            batch.has_parts = False
            self._parts.ended()
            self._outbox.add_behind_parts(batch.number, rows, now - begun)
        else:
            self._outbox.add(batch.number, rows, now - begun, now)
        if has_places:
            self._outbox.lay(False)

    def _in_slots(self, rows: list[ReplyRow], items: Sequence[frames.Item]) -> list[ReplyRow]:
        """Lay large answers where their requests say."""
        memory, size = self._model.memory, self._model.request.slot_size
        assert memory is not None, "slots are used where there is shared memory"
        return [
            frames.put_in_place(row, item, memory, size)
            if item.answer_at >= 0 and not row[0] & ~frames.TIMED and len(row[1].body) >= LARGE
            else row
            for row, item in zip(rows, items, strict=True)
        ]

    def _answer_one(self, item: frames.Item, begun: float) -> list[ReplyRow]:
        """The same as ``_answer`` for a batch of one, which is the most frequent and shall cost least."""
        decoder, batch = self._decoder, self._batch
        flags, block = item.flags, item.head
        head = decoder.head(block[:-TRACE_LINE] if flags & frames.TRACED else block)
        try:
            row, names, kinds = decoder.row(head, item)
        except BadForm as error:
            return [refused_row(str(error))]
        batch.hold_one(item, head, kinds)
        self._context.begin(self._single_id, self._processors, {0: names} if names else {})
        if flags & UNUSUAL:
            if flags & ANSWERS:
                batch.made_processors()[0].encode = decoder.encoder_of(row, item)
            if flags & frames.TRACED:
                # Written out, as little as there is: one of many requests is traced, and code that runs
                # seldom has left the processor's caches, function by function.
                context = self._context
                context.traced_call = ONLY, begun
                called = time.perf_counter()
                rows = self._call([row], batch.processors)
                returned = time.perf_counter()
                context.traced_call = None
                flags, (status, lines, body) = rows[0]
                if context.made_trace is None and not flags & frames.ERROR:
                    times = pack_marks(begun, called, returned)
                    return [(flags | frames.TIMED, answer_of((status, times + lines, body)))]
                self._trace = self._trace_of(CallTrace(ONLY, begun), called, returned)
                return rows
        return self._call([row], batch.processors)

    def _answer(self, items: Sequence[frames.Item], begun: float) -> list[ReplyRow]:
        """One row for each item; items that cannot be decoded are answered without the handler."""
        batch = self._batch
        held = batch.hold(items)
        if not held.data:
            return batch.with_refused([])
        self._context.begin(partial(show_ids, held.ids), batch.processors, held.repeated)
        if held.flags & frames.TRACED:
            places = [place for place, row in enumerate(batch.refused) if row is None]
            return batch.with_refused(self._call_traced(held.data, begun, places))
        return batch.with_refused(self._call(held.data, batch.processors))

    def _call_traced(self, data: list[Row], begun: float, places: Sequence[int]) -> list[ReplyRow]:
        """
        Call the handler, and note what was done when.

        :param begun: when the requests were begun to be decoded.
        :param places: of those that the handler gets.
        """
        self._context.traced_call = places, begun
        called = time.perf_counter()
        rows = self._call(data, self._batch.processors)
        returned = time.perf_counter()
        self._context.traced_call = None
        self._trace = self._trace_of(CallTrace(places, begun), called, returned)
        return rows

    def _trace_of(self, unasked: CallTrace, called: float, returned: float) -> CallTrace:
        """Return what there is to tell of a call; ``unasked``: where its handler has told nothing."""
        context = self._context
        trace, context.made_trace = context.made_trace or unasked, None
        trace.called, trace.returned = called, returned
        return trace

    def _tell_times(self, trace: CallTrace) -> None:
        """Tell the server what was done when: before the answers, and in none of the times that they have."""
        self._trace = None
        batch = self._batch
        self._outbox.hold_ahead([pack_times(batch.number, batch.first, trace.marks())])
