"""An asynchronous handler: batches are at work side by side on its event loop."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import threading
import time
from collections.abc import Sequence
from copy import copy
from functools import partial

from modelserver.child.call_trace import NO_STEP, CallTrace
from modelserver.child.context import Context, RequestProcessor
from modelserver.child.data.admitted import DecodedRequest, repeated_fields, shown_ids
from modelserver.child.data.answers import ReplyRow, part_rows, refused_row
from modelserver.child.data.decoder import BadForm
from modelserver.child.data.refusals import RowsRefused, answers_apart_async
from modelserver.child.device_faults import DeviceFailed
from modelserver.child.failures import ClientsGone
from modelserver.child.loops.calls import MORE_FOLLOWS, last_rows, rows_of_failure
from modelserver.child.loops.loaded import LoadedModel
from modelserver.child.loops.outbox import Outbox
from modelserver.protocol import frames
from modelserver.protocol.answer_rows import pack_answers
from modelserver.protocol.call_times import pack_times


class RunningBatch:
    """
    A batch that is at work.

    :param rows: one for each request; those that could not be decoded are answered already.
    :param requests: the others, which the handler gets.
    """

    __slots__ = ("begun", "gone", "number", "requests", "rows", "task", "trace")

    def __init__(self, number: int) -> None:
        self.number = number
        self.begun = time.perf_counter()
        self.rows: list[ReplyRow | None] = []
        self.requests: list[DecodedRequest] = []
        self.gone: set[int] = set()
        self.task: asyncio.Task[list[ReplyRow]] | None = None
        self.trace: CallTrace | None = None

    @property
    def is_deserted(self) -> bool:
        """Whether every client that waited for the handler has left."""
        return all(row is not None or place in self.gone for place, row in enumerate(self.rows))

    def filled(self, rows: Sequence[ReplyRow]) -> list[ReplyRow]:
        """All rows: those of the handler where there was none."""
        handled = iter(rows)
        return [next(handled) if row is None else row for row in self.rows]


class ConcurrentLoop:
    """Begins each batch as it comes, with a context of its own, and answers each when it is done."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._context = model.context
        self._largest = model.request.max_response_size
        self._rows_of = last_rows(self._largest)
        self._outbox = Outbox(model.connection, device=model.device)
        self._writing = threading.Lock()
        self._work: dict[int, RunningBatch] = {}
        self._has_warned = False
        self._process = os.getpid()

    def run(self) -> None:
        """
        Serve until the server closes the socket.

        :raises EOFError: the server closed the socket.
        :raises DeviceFailed: this process can use its device no more.
        """
        self._loop = asyncio.get_event_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._loop.call_soon(self._take_in)
        self._loop.add_reader(self._model.connection.fileno(), self._read)
        self._loop.run_until_complete(self._ended)

    def _read(self) -> None:
        try:
            if not self._model.reader.fill(self._model.connection):
                raise EOFError
        except OSError as error:
            self._end(error)
        except EOFError as error:
            self._end(error)
        else:
            self._take_in()

    def _end(self, error: BaseException) -> None:
        self._loop.remove_reader(self._model.connection.fileno())
        if not self._ended.done():
            self._ended.set_exception(error)

    def _take_in(self) -> None:
        try:
            for frame in self._model.reader:
                if frame.kind == frames.BATCH:
                    self._begin(frame)
                elif frame.kind == frames.CANCEL:
                    self._forget(frame.number, frame.items)
                else:
                    raise frames.unexpected(frame.kind)
        except Exception as error:  # an event loop would log it, and whoever asked would wait
            self._end(error)

    def _begin(self, frame: frames.Frame) -> None:
        work = self._work[frame.number] = RunningBatch(frame.number)
        flags = 0
        for item in frames.unpack_batch(frame, self._model.memory):
            flags |= item.flags
            try:
                work.requests.append(DecodedRequest(self._model.decoder, item))
                work.rows.append(None)
            except BadForm as error:
                work.rows.append(refused_row(str(error)))
        if flags & frames.TRACED and work.requests:
            places = [place for place, row in enumerate(work.rows) if row is None]
            work.trace = CallTrace(places, work.begun)
        if work.requests:
            work.task = self._loop.create_task(self._handle(work))
            work.task.add_done_callback(lambda task: self._finish(work, task))
        else:
            self._answer_with(work, [])

    def _forget(self, number: int, place: int) -> None:
        """A client has left; when it was the last of its batch, the handler's coroutine is cancelled."""
        work = self._work.get(number)
        if work is not None:
            work.gone.add(place)
            if work.is_deserted and work.task is not None:
                work.task.cancel()

    def _finish(self, work: RunningBatch, task: asyncio.Task[list[ReplyRow]]) -> None:
        if task.cancelled():
            why: BaseException = ClientsGone("the client has left")
            if not work.is_deserted:
                why = asyncio.CancelledError("the handler has awaited what was cancelled")
            self._answer_with(work, rows_of_failure(why, len(work.requests), self._context))
        elif isinstance(error := task.exception(), DeviceFailed):
            self._end(error)
        elif error is not None:
            self._answer_with(work, rows_of_failure(error, len(work.requests), self._context))
        else:
            self._answer_with(work, task.result())

    def _answer_with(self, work: RunningBatch, rows: Sequence[ReplyRow]) -> None:
        del self._work[work.number]
        seconds = time.perf_counter() - work.begun
        if work.trace is not None:
            self._send([pack_times(work.number, 0, work.trace.marks())])
        self._send(pack_answers(frames.ANSWERS, work.number, seconds, work.filled(rows)))

    async def _handle(self, work: RunningBatch) -> list[ReplyRow]:
        processors = [request.processor() for request in work.requests]
        context = self._context_for(work, processors)
        data = [request.row for request in work.requests]
        refused: RowsRefused | None = None
        try:
            try:
                with work.trace or NO_STEP:
                    result = await self._call(data, context)
            except RowsRefused as error:
                refused = error
            if refused is not None:
                result = await answers_apart_async(refused, self._call, data, context)
        except (DeviceFailed, asyncio.CancelledError):
            raise
        except BaseException as error:  # of those that are no ``Exception``, the event loop would end
            if os.getpid() != self._process:  # the handler has forked: what ends there is not the call
                raise
            return rows_of_failure(error, len(processors), context)
        return self._rows_of(result, processors)

    async def _call(self, data: object, context: Context) -> object:
        result = self._model.entry(data, context)
        if inspect.isawaitable(result):
            return await result
        if not self._has_warned:
            self._has_warned = True
            print("asyncCommunication: the handler is not async; nothing runs beside it.", file=sys.stderr)
        return result

    def _context_for(self, work: RunningBatch, processors: list[RequestProcessor]) -> Context:
        """A context for one batch: what the handler keeps in it is common to all."""
        context = copy(self._context)
        context.begin(partial(shown_ids, work.requests), processors, repeated_fields(work.requests))
        context.send_parts = partial(self._send_parts_of, work, processors)
        context.made_trace = work.trace
        beside = getattr(self._context.metrics, "beside", None)
        if beside is not None:
            context.metrics = beside()
        return context

    def _send_parts_of(
        self, work: RunningBatch, processors: Sequence[RequestProcessor], parts: Sequence[object]
    ) -> None:
        """
        Send one part to each request of a batch.

        :raises ClientsGone: every client has left.
        :raises ValueError: there is not one part for each request.
        """
        for processor in processors:
            processor.add_response_property(MORE_FOLLOWS, "true")
        rows = part_rows(parts, processors, self._largest)
        if work.is_deserted:
            raise ClientsGone("the client has left")
        self._send(pack_answers(frames.PART, work.number, 0, work.filled(rows)))

    def _send(self, pieces: frames.Pieces) -> None:
        with self._writing:  # a handler may send its parts from a thread
            self._outbox.hold(pieces)
            self._outbox.hold_metrics(self._context)
            try:
                self._outbox.release()
            except OSError:
                pass  # the server is gone: the reader will meet the end of the stream
