"""A worker's life after loading: read a batch, call the handler once, write one answer."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from functools import partial

from modelserver.child.context import Context, EntryPoint, RequestProcessor
from modelserver.child.data.answers import ReplyRow, answer_rows, failed_rows, part_rows, refused_row
from modelserver.child.data.decoder import PLAIN, BadForm, Decoder
from modelserver.child.loops.wait import SpinThenBlock
from modelserver.dialect_rules import DIALECTS
from modelserver.protocol import frames
from modelserver.protocol.descriptors import SLOTS_FD
from modelserver.protocol.frame_stream import FrameReader, send_all
from modelserver.protocol.load_request import LoadRequest
from modelserver.protocol.shared_memory import LARGE, map_slots
from modelserver.system.cpus import usable_processors

JOIN = 0.0003
"""Seconds that an answer may wait for the next one, to leave in the same write."""

MORE_FOLLOWS = "ts_stream_next"
"""The header that marks the first part of a streamed answer, as in TorchServe."""


NONE_REFUSED = (None,)
"""Of a batch of one: see ``Loop._with_refused``."""


class ClientsGone(ConnectionError):
    """Every client of the streamed batch has left: there is nobody to send the next part to."""


class Loop:
    """Serves batches on a blocking socket, one after the other."""

    def __init__(
        self,
        connection: socket.socket,
        reader: FrameReader,
        request: LoadRequest,
        entry: EntryPoint,
        context: Context,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._load_request = request
        self._entry = entry
        self._context = context
        self._slot_size = request.slot_size
        self._shared = map_slots(SLOTS_FD) if self._slot_size else None
        plain = PLAIN if DIALECTS[request.dialect].tells_plain_fields else {}
        self._decoder = Decoder(request.decode_input_request, plain)
        context.send_parts = self._send_parts
        self._number = 0
        self._first = 0
        self._processors: list[RequestProcessor] = []
        self._refused: Sequence[ReplyRow | None] = ()
        self._rows: list[ReplyRow] = []
        self._spent = 0.0
        self._held: frames.Pieces = []
        self._held_since = 0.0
        self._mean = 1.0
        self._ahead: deque[frames.Frame] = deque()
        self._gone: set[tuple[int, int]] = set()
        self._stopped: int | None = None
        self._is_calling = False

    def run(self) -> None:
        """
        Serve until the server closes the socket.

        :raises EOFError: it did.
        """
        reader = self._reader
        waiting = SpinThenBlock(self._connection, reader, usable_processors())
        was_alone = False
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGURG, lambda number, frame: self.release_kept())
        while True:
            frame = self._ahead.popleft() if self._ahead else reader.next()
            if frame is None:
                self._release()
                self._gone.clear()
                frame = waiting.frame(was_alone)
            was_alone = frame.items == 1
            if frame.kind == frames.BATCH:
                self._serve(frame)
            else:
                self._note(frame)

    def _note(self, frame: frames.Frame) -> None:
        """Remember what the server says about clients; about a batch that is answered it does not matter."""
        if frame.kind == frames.CANCEL:
            self._gone.add((frame.number, frame.items))
        elif frame.kind == frames.CREDIT:
            self._stopped = None if frame.items else frame.number
        else:
            raise frames.unexpected(frame.kind)

    def _serve(self, frame: frames.Frame) -> None:
        self._number = frame.number
        if not frame.flags & frames.PIPELINED:
            self._call_timed(frames.unpack_batch(frame, self._shared), 0)
        else:
            if len(frame.payload) >= frames.SMALL:
                # Views do not outlive the next look into the socket, which a handler that streams takes.
                frame = frame._replace(payload=memoryview(bytes(frame.payload)))
            for place, item in enumerate(frames.unpack_batch(frame, self._shared)):
                self._call_timed((item,), place)
        self._close()
        self._report_metrics()

    def _call_timed(self, items: Sequence[frames.Item], first: int) -> None:
        """
        Answer one batch; the answer leaves now unless the next one is to be expected in a moment.

        :param first: its place among those it travels with.
        """
        self._first = first
        begun = time.perf_counter()
        self._is_calling = True
        rows = self._answer_one(items[0]) if len(items) == 1 else self._answer(items)
        self._is_calling = False
        now = time.perf_counter()
        spent = now - begun
        self._mean += (spent - self._mean) / 8
        if self._shared is not None and (len(items) > 1 or items[0].offset >= 0):
            rows = self._in_slots(rows, items, self._shared)
        if spent > JOIN:
            self._close()  # those of before took less, and shall be counted so
        self._rows += rows
        self._spent += spent
        if not self._held_since:
            self._held_since = now
        if now - self._held_since + self._mean > JOIN:
            self._release()

    def _close(self) -> None:
        """Make a frame of the answers that there are."""
        if self._rows:
            rows, self._rows = self._rows, []
            spent, self._spent = int(self._spent * 1e6), 0.0
            self._held += frames.pack_answers(frames.ANSWERS, self._number, spent, rows)

    def _in_slots(
        self, rows: list[ReplyRow], items: Sequence[frames.Item], shared: memoryview
    ) -> list[ReplyRow]:
        """Lay large answers where the bodies of their requests were: the server copies them from there."""
        return [
            frames.put_in_place(row[1], item, shared, self._slot_size)
            if item.offset >= 0 and not row[0] and len(row[1].body) >= LARGE
            else row
            for row, item in zip(rows, items, strict=True)
        ]

    def _release(self) -> None:
        self._close()
        if self._held:
            held, self._held, self._held_since = self._held, [], 0.0
            send_all(self._connection, held)

    def release_kept(self) -> None:
        """The handler takes long: what was to leave with its answer leaves now, unless it is on its way."""
        if self._is_calling:
            self._release()

    def _report_metrics(self) -> None:
        drain = getattr(self._context.metrics, "drain", None)
        emitted = drain() if drain is not None else None
        if emitted:
            self._held.append(frames.pack_json(frames.METRICS, {"metrics": emitted}))

    def _answer_one(self, item: frames.Item) -> list[ReplyRow]:
        """The same as ``_answer`` for a batch of one, which is the most frequent and shall cost least."""
        decoder = self._decoder
        head = decoder.head(item.head)
        try:
            row, names, kinds = decoder.row(head, item)
        except BadForm as error:
            return [refused_row(str(error))]
        processors = [RequestProcessor(partial(decoder.headers, head, item, kinds))]
        self._processors, self._refused = processors, NONE_REFUSED
        self._context.begin(partial(_show_ids, (item.id,)), processors, {0: names} if names else {})
        return self._call([row], processors)

    def _answer(self, items: Sequence[frames.Item]) -> list[ReplyRow]:
        """One row for each item; items that cannot be decoded are answered without the handler."""
        decoder = self._decoder
        refused: list[ReplyRow | None] = [None] * len(items)
        data: list[dict[str, object]] = []
        processors: list[RequestProcessor] = []
        ids: list[bytes] = []
        repeated: dict[int, dict[str, list[object]]] = {}
        for place, item in enumerate(items):
            head = decoder.head(item.head)
            try:
                row, names, kinds = decoder.row(head, item)
            except BadForm as error:
                refused[place] = refused_row(str(error))
                continue
            if names:
                repeated[len(data)] = names
            data.append(row)
            ids.append(item.id)
            processors.append(RequestProcessor(partial(decoder.headers, head, item, kinds)))
        self._processors, self._refused = processors, refused
        if not data:
            return self._with_refused([])
        self._context.begin(partial(_show_ids, ids), processors, repeated)
        return self._with_refused(self._call(data, processors))

    def _with_refused(self, answers: list[ReplyRow]) -> list[ReplyRow]:
        """The rows of the items that the handler got, and those that it did not, in the batch's order."""
        if len(answers) == len(self._refused):
            return answers
        others = iter(answers)
        return [next(others) if row is None else row for row in self._refused]

    def _call(self, data: list[dict[str, object]], processors: list[RequestProcessor]) -> list[ReplyRow]:
        try:
            result = self._entry(data, self._context)
        except Exception as error:
            return self._failed(error, len(data))
        return self._rows_of(result, processors)

    def _failed(self, error: BaseException, count: int, context: Context | None = None) -> list[ReplyRow]:
        """The rows of a call that raised; that all clients have left is no failure of the handler."""
        if not isinstance(error, ClientsGone):
            self._log_failure(error, context)
        return failed_rows(error, count)

    def _rows_of(self, result: object, processors: Sequence[RequestProcessor]) -> list[ReplyRow]:
        """The rows of what a call returned; streams end with it."""
        for processor in processors:
            if processor.changed and processor.get_response_header(MORE_FOLLOWS):
                processor.add_response_property(MORE_FOLLOWS, "false")
        return answer_rows(result, processors, self._load_request.max_response_size)

    def _log_failure(self, error: BaseException, context: Context | None = None) -> None:
        ids = ", ".join(((context or self._context).request_ids or {}).values())
        text = "".join(traceback.format_exception(error))
        print(f"Invoking custom service failed for request {ids}:\n{text}", file=sys.stderr, flush=True)

    # Streaming.

    def _send_parts(self, parts: Sequence[object]) -> None:
        """
        Send one part to each request of the batch, as soon as their clients can take it.

        :raises ClientsGone: every client has left.
        :raises ValueError: there is not one part for each request.
        """
        number, processors = self._number, self._processors
        self._is_calling = False
        for processor in processors:
            processor.add_response_property(MORE_FOLLOWS, "true")
        rows = part_rows(parts, processors, self._load_request.max_response_size)
        self._listen(wait=False)
        while not self._is_deserted() and self._stopped == number:
            self._release()
            self._listen(wait=True)
        if self._is_deserted():
            raise ClientsGone("the client has left")
        self._close()
        self._held += frames.pack_answers(frames.PART, number, 0, self._with_refused(rows))
        self._release()
        self._is_calling = True

    def _is_deserted(self) -> bool:
        gone, number = self._gone, self._number
        places = enumerate(self._refused, self._first)
        return all(row is not None or (number, place) in gone for place, row in places)

    def _listen(self, wait: bool) -> None:
        """
        Take in what the server has said by now, in the middle of a batch.

        :param wait: until it says something.
        :raises ClientsGone: it closed the socket.
        """
        self._connection.setblocking(wait)
        try:
            if not self._reader.fill(self._connection):
                raise ClientsGone("the server has closed the socket")
        except BlockingIOError:
            pass
        finally:
            self._connection.setblocking(True)
        for frame in self._reader:
            if frame.kind == frames.BATCH:
                # The reader's buffer is needed for what follows.
                self._ahead.append(frame._replace(payload=memoryview(bytes(frame.payload))))
            else:
                self._note(frame)


def _show_ids(ids: Sequence[bytes]) -> dict[int, str]:
    return {place: frames.show_id(request_id).decode() for place, request_id in enumerate(ids)}
