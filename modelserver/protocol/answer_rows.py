"""Answers between a worker and the server: rows, alike in frames and in the memory that has them sooner."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial

from modelserver.errors import ServingError
from modelserver.jobs import Answer, TimedAnswer, answer_of
from modelserver.protocol.answer_head import HeadInvalid, check_head
from modelserver.protocol.call_times import MARKS_SIZE
from modelserver.protocol.frames import (
    ERROR,
    PLACE,
    SHARED,
    SMALL,
    TIMED,
    Frame,
    FrameError,
    Pieces,
    pack_header,
    read_place,
    shared_body,
)
from modelserver.protocol.item_errors import read_error

ANSWER_ROW = struct.Struct("<IfIIII")
"""Before the head and body of each answer: see ``modelserver.protocol.frames``."""
LONGEST = 1e9
"""Seconds that no call takes."""
_timed_answer: Callable[[tuple[int, bytes, bytes | bytearray | memoryview]], TimedAnswer] = partial(
    tuple.__new__, TimedAnswer
)
_unpack_row = ANSWER_ROW.unpack_from
_ROW_SIZE = ANSWER_ROW.size

Answered = tuple[int, list[Answer | ServingError], float]
"""Number of a batch, the answers to its next jobs, and the seconds that these took."""


def pack_answers(kind: int, number: int, seconds: float, rows: Sequence[tuple[int, Answer]]) -> Pieces:
    """
    The frame that brings answers (``kind`` ANSWERS) or parts (PART) to one batch back.

    :param seconds: that the handler took.
    :param rows: flags and answer of each.
    """
    pieces = pack_rows(number, seconds, rows)
    return [pack_header(sum(map(len, pieces)), kind, 0, len(rows), number), *pieces]


def pack_rows(number: int, seconds: float, rows: Sequence[tuple[int, Answer]]) -> Pieces:
    """Return the rows of ``pack_answers`` without the header of their frame."""
    pieces: Pieces = []
    for flags, (status, head, body) in rows:
        row = ANSWER_ROW.pack(number, seconds, status, len(head), len(body), flags)
        pieces += (row + head, body)
        seconds = 0.0
    return pieces


def unpack_answers(frame: Frame, shared: memoryview | None = None) -> list[Answered]:
    """
    What an ANSWERS or PART frame brings, bodies copied out of the reader's buffer.

    A body in shared memory is a view of it, good as long as its job has its place there.

    :raises FrameError: lengths lead out of the frame, an error is none, or a head may not be sent.
    """
    payload = frame.payload
    # Cut from bytes, pieces are bytes at once; of a large frame, bodies are copied once.
    answered = unpack_rows(bytes(payload) if len(payload) < SMALL else payload, shared)
    count = len(answered[0][1]) if len(answered) == 1 else sum([len(answers) for _, answers, _ in answered])
    if count != frame.items:
        raise FrameError(f"a frame of {frame.items} answers that has others")
    return answered


def unpack_rows(data: bytes | memoryview, shared: memoryview | None) -> list[Answered]:
    """
    The answers in rows that lie one behind the other, those of each batch together.

    :raises FrameError: see ``unpack_answers``.
    """
    found: list[Answered] = []
    answers: list[Answer | ServingError] = []
    current, total, at, size = -1, 0.0, 0, len(data)
    is_copied = type(data) is bytes
    while at < size:
        head_at = at + _ROW_SIZE
        if head_at > size:
            raise FrameError("a row of an answer beyond the end")
        number, seconds, status, head_size, body_size, flags = _unpack_row(data, at)
        body_at = head_at + head_size
        at = body_at + body_size
        if at > size:
            raise FrameError("an answer beyond the end")
        if number != current:
            if answers:
                found.append((current, answers, _as_time(total)))
            current, answers, total = number, [], 0.0
        total += seconds
        body = data[body_at:at]
        if flags:
            answers.append(_flagged(flags, status, data[head_at:body_at], body, shared))
        elif head_size or status != 200:
            head = _checked(status, bytes(data[head_at:body_at]))
            answers.append(answer_of((status, head, bytes(body))))
        else:
            answers.append(answer_of((200, b"", body if is_copied else bytes(body))))
    if answers:
        found.append((current, answers, _as_time(total)))
    return found


def without_first(answered: Sequence[Answered], count: int) -> list[Answered]:
    """Return what is left without the first ``count`` answers, each of a batch having taken as long."""
    left: list[Answered] = []
    for number, answers, seconds in answered:
        if count < len(answers):
            rest = answers[count:] if count else answers
            left.append((number, rest, seconds * len(rest) / len(answers)))
        count = max(0, count - len(answers))
    return left


def _as_time(seconds: float) -> float:
    """Return seconds that a worker tells; a handler that writes to its socket may tell anything."""
    if not 0.0 <= seconds < LONGEST:
        raise FrameError(f"answers that took {seconds} seconds")
    return seconds


def _checked(status: int, head: bytes) -> bytes:
    """Return a head: a handler that writes to its worker's socket must not write into other answers."""
    try:
        return check_head(status, head)
    except HeadInvalid as error:
        raise FrameError(str(error)) from error


def _flagged(
    flags: int, status: int, head: bytes | memoryview, body: bytes | memoryview, shared: memoryview | None
) -> Answer | ServingError:
    if flags == TIMED and status == 200 and len(head) == MARKS_SIZE:  # nearly all of them
        return _with_marks((200, b"", bytes(body)), head)
    if flags & ERROR or not flags & (SHARED | TIMED):
        try:
            return read_error(flags, bytes(body))
        except ValueError as error:
            raise FrameError("an error that is no JSON list of its facts") from error
    at = MARKS_SIZE if flags & TIMED else 0
    if len(head) < at:
        raise FrameError("no times")
    if flags & SHARED:
        offset, size = read_place(PLACE, body)
        body = shared_body(offset, size, shared)
    else:
        body = bytes(body)
    answer = status, _checked(status, bytes(head[at:])), body
    return _with_marks(answer, head[:at]) if at else answer_of(answer)


def _with_marks(
    values: tuple[int, bytes, bytes | bytearray | memoryview], marks: bytes | memoryview
) -> TimedAnswer:
    answer = _timed_answer(values)
    answer.marks = bytes(marks)
    return answer
