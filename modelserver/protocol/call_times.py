"""What a worker tells of a call with traced requests, in a frame of TIMES or before the head of an answer."""

from __future__ import annotations

import json
from struct import Struct

from modelserver.jobs import NO_MORE, CallMarks, marks_of
from modelserver.protocol.frames import TIMES, Frame, FrameError, pack_header, unpack_json

_MARKS = Struct("<3d")
pack_marks = _MARKS.pack
MARKS_SIZE = _MARKS.size


def read_marks(times: bytes | memoryview) -> CallMarks:
    """Return what ``MARKS_SIZE`` bytes tell."""
    return marks_of((*_MARKS.unpack(times), NO_MORE))


def pack_times(number: int, place: int, marks: CallMarks) -> bytes:
    """A frame of TIMES: what was done when in the call for the job at ``place`` of a batch."""
    begun, called, returned, more = marks
    payload = pack_marks(begun, called, returned) + (json.dumps(more).encode() if more else b"")
    return pack_header(len(payload), TIMES, 0, place, number) + payload


def unpack_times(frame: Frame) -> CallMarks:
    """
    What was done when in a call.

    :raises FrameError: the frame has no three times, or something else than a JSON object behind them.
    """
    payload = frame.payload
    if len(payload) < MARKS_SIZE:
        raise FrameError("no times")
    marks, more = read_marks(payload[:MARKS_SIZE]), payload[MARKS_SIZE:]
    return marks._replace(more=unpack_json(frame._replace(payload=more))) if more else marks
