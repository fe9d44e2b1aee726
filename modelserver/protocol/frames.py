"""
Bytes between the server and a worker: a fixed header, a table of lengths, raw bytes.

Header, 16 bytes, little endian: length of what follows the header (u32), kind (u8), flags (u8), count (u16),
number (u32), 4 bytes of nothing. What follows depends on the kind:

``BATCH`` (server to worker)
    ``count`` rows of four u32 (length of head, of extra, of body, flags of the job), ``count`` request ids of
    16 bytes, then head, extra and body of each job. With the flag ``PIPELINED``, the handler is called for
    each job by itself; with ``AHEAD``, each call needs an offer (``modelserver.protocol.ahead``).
``CANCEL`` (server to worker)
    the client of job ``count`` of batch ``number`` is gone. ``CREDIT`` with ``count`` 0: the clients of batch
    ``number`` can take no more parts at present; with 1: they can again.
``ANSWERS``, ``PART`` (worker to server)
    ``count`` times a row (number of the batch, u32; seconds that the handler took since the row before, f32;
    status, length of head, of body, flags of the item, u32), its head and its body. A frame of ANSWERS may
    have those of several batches. The answers to a pipelined batch may come in several frames, each for the
    next jobs in order; its parts are for the next job.
``TIMES`` (worker to server)
    what was done when in the call for the job ``count`` of batch ``number``, and for those that it shares the
    call with: three times (f64, see ``CallMarks``), then a JSON document if there is more to tell; sent
    before their answers if one of them has the flag ``TRACED``. Where the call is for one job and there is no
    more to tell, the times may stand in the answer instead (``ItemFlag.TIMED``).
``DROPPED`` (worker to server)
    the last ``count`` calls of batch ``number`` were taken back: the worker has passed over them.
the others
    a JSON document, or nothing.

A body whose row has the flag ``SHARED`` lies in the shared memory; in its stead stand its offset (u64) and
size (u32), and in a BATCH where a large answer may be laid (i64, -1: nowhere).
"""

from __future__ import annotations

import json
import struct
from binascii import hexlify
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum, IntFlag
from functools import partial
from typing import NamedTuple

from modelserver.jobs import (
    NOWHERE,
    Answer,
    Job,
    JobRequest,
    SharedSlot,
    answer_of,
)
from modelserver.protocol.item_errors import ItemFlag


class FrameKind(IntEnum):
    """What a frame is: below 16 those to a worker, from there on those from one."""

    LOAD = 1
    BATCH = 2
    CANCEL = 3
    CREDIT = 4
    PRELOAD = 5
    FORK = 6
    LAUNCH = 7
    STARTED = 16
    LOADED = 17
    LOAD_FAILED = 18
    ANSWERS = 19
    PART = 20
    METRICS = 21
    FORKED = 22
    CHILD_EXITED = 23
    RANK_EXITED = 24
    DROPPED = 25
    TIMES = 26
    DEVICE_FAILED = 27
    DEVICE_MEMORY = 28


class JobFlag(IntFlag):
    """
    Traits of a job in a BATCH.

    ``QUERY``: the query parameters in ``extra`` are inputs, too. ``NO_PATH``: ``url_path`` is not among its
    headers. ``RAW``: the body is bytes, whatever the headers say. ``FIELDS``: it is several fields of bytes,
    one behind the other, whose names and sizes ``extra`` has as ``fields``. ``INPUTS``: a message
    (``wire_format``) whose third field maps names to inputs; the others are not the handler's. ``INFER``: it
    is a ModelInferRequest of the Open Inference Protocol, and the answer shall be a ModelInferResponse; with
    ``PASSES`` it shall not, for another handler gets it. ``REPLIES``: it shall be one to the request whose
    names ``extra`` has as ``infer``. ``TRACED``: the server wants to know what is done when (``TIMES``).
    ``BARE``: the headers are the client's alone, as those of ``RAW`` and ``FIELDS`` are.
    """

    SHARED = 1
    EXPLAIN = 2
    DESCRIBE = 4
    QUERY = 8
    NO_PATH = 64
    RAW = 128
    FIELDS = 256
    INPUTS = 512
    INFER = 1024
    PASSES = 2048
    REPLIES = 4096
    TRACED = 8192
    BARE = 16384


# Plain integers, for the path of every request: to compare or combine members of an Enum takes a call.
LOAD = FrameKind.LOAD.value
BATCH = FrameKind.BATCH.value
CANCEL = FrameKind.CANCEL.value
CREDIT = FrameKind.CREDIT.value
PRELOAD = FrameKind.PRELOAD.value
FORK = FrameKind.FORK.value
LAUNCH = FrameKind.LAUNCH.value
STARTED = FrameKind.STARTED.value
LOADED = FrameKind.LOADED.value
LOAD_FAILED = FrameKind.LOAD_FAILED.value
ANSWERS = FrameKind.ANSWERS.value
PART = FrameKind.PART.value
METRICS = FrameKind.METRICS.value
FORKED = FrameKind.FORKED.value
CHILD_EXITED = FrameKind.CHILD_EXITED.value
RANK_EXITED = FrameKind.RANK_EXITED.value
DROPPED = FrameKind.DROPPED.value
TIMES = FrameKind.TIMES.value
DEVICE_FAILED = FrameKind.DEVICE_FAILED.value
DEVICE_MEMORY = FrameKind.DEVICE_MEMORY.value

SHARED = JobFlag.SHARED.value
EXPLAIN = JobFlag.EXPLAIN.value
DESCRIBE = JobFlag.DESCRIBE.value
QUERY = JobFlag.QUERY.value
NO_PATH = JobFlag.NO_PATH.value
RAW = JobFlag.RAW.value
FIELDS = JobFlag.FIELDS.value
RAW_OR_FIELDS = RAW | FIELDS
INPUTS = JobFlag.INPUTS.value
INFER = JobFlag.INFER.value
PASSES = JobFlag.PASSES.value
REPLIES = JobFlag.REPLIES.value
TRACED = JobFlag.TRACED.value
BARE = JobFlag.BARE.value
ERROR = ItemFlag.ERROR.value
REFUSED = ItemFlag.REFUSED.value
TOO_LARGE = ItemFlag.TOO_LARGE.value
TIMED = ItemFlag.TIMED.value

PIPELINED, AHEAD = 1, 2
"""Flags of a BATCH frame: see the module."""
SMALL = 1 << 16
"""Bytes up to which a frame is copied together rather than handled in pieces."""

HEADER = struct.Struct("<IBBHI4x")
PLACE = struct.Struct("<QI")
"""Where an answer lies."""
BODY_PLACE = struct.Struct("<QIq")
"""Where the body of a job lies, and where its answer may be laid."""
ID_SIZE = 16
_SINGLE = struct.Struct("<IBBHI4x4I16s")
"""Header, row and id of a batch of one."""
_ONE = struct.Struct("<4I16s")
"""The same behind the header."""
_ROWS = [struct.Struct(f"<{4 * n}I") for n in range(257)]
pack_header = HEADER.pack
uuid_pieces = struct.Struct("8s4s4s4s12s").unpack
"""Cuts 32 hexadecimal digits into the pieces between which a UUID has dashes."""


def _rows(count: int) -> struct.Struct:
    return _ROWS[count] if count < len(_ROWS) else struct.Struct(f"<{4 * count}I")


class FrameError(Exception):
    """The bytes are no frame, or none that may come here: the other side is broken."""


def unexpected(kind: int) -> FrameError:
    """Return the error of a frame whose kind has no meaning for its receiver."""
    try:
        return FrameError(f"a frame of kind {FrameKind(kind).name}")
    except ValueError:
        return FrameError(f"a frame of kind {kind}")


class Frame(NamedTuple):
    """A frame as it was received. ``payload`` is good until the reader is asked for more."""

    kind: int
    flags: int
    items: int
    number: int
    payload: memoryview


# As with answers: see there.
frame_of: Callable[[tuple[int, int, int, int, memoryview]], Frame] = partial(tuple.__new__, Frame)


class Item(NamedTuple):
    """A job as the worker sees it; ``answer_at`` is where a large answer may be laid, or -1."""

    id: bytes
    head: bytes
    extra: bytes
    body: bytes | memoryview
    flags: int
    answer_at: int = NOWHERE


_item: Callable[[tuple[object, ...]], Item] = partial(tuple.__new__, Item)

Pieces = list[bytes | bytearray | memoryview]


def pack_batch(number: int, jobs: Sequence[Job], flags: int = 0) -> Pieces:
    """The frame that hands ``jobs`` to a worker; ``flags`` are PIPELINED and AHEAD."""
    if len(jobs) == 1:
        request = jobs[0].request
        if type(request.body) is not SharedSlot:
            return _pack_single(number, request, flags & AHEAD)
    lengths: list[int] = []
    ids: list[bytes] = []
    data: Pieces = [b"", b""]
    for job in jobs:
        request_id, head, extra, body, traits, _, _, _ = job.request
        if type(body) is SharedSlot:
            body, traits = _pack_place(body), traits | SHARED
        lengths += (len(head), len(extra), len(body), traits)
        ids.append(request_id)
        data += (head, extra, body)  # type: ignore[arg-type]  # a SharedSlot has become bytes
    count = len(jobs)
    data[1] = _rows(count).pack(*lengths) + b"".join(ids)
    size = sum(map(len, data))
    data[0] = pack_header(size, BATCH, flags, count, number)
    return data if size > SMALL else [b"".join(data)]


def _pack_place(body: SharedSlot) -> bytes:
    offset, answer_at = body.offset, body.answer_at
    return BODY_PLACE.pack(offset, body.size, offset if answer_at is None else answer_at)


def _pack_single(number: int, request: JobRequest, frame_flags: int) -> Pieces:
    request_id, head, extra, body, flags, _, _, _ = request
    sizes = len(head), len(extra), len(body)
    size = _SINGLE.size - HEADER.size + sum(sizes)
    row = _SINGLE.pack(size, BATCH, frame_flags, 1, number, *sizes, flags, request_id)
    if size < SMALL:
        return [b"".join((row, head, extra, body))]  # type: ignore[arg-type]  # the caller has seen to it
    return [b"".join((row, head, extra)), body]  # type: ignore[list-item]  # here, too


def unpack_batch(frame: Frame, shared: memoryview | None) -> list[Item]:
    """
    The jobs of a BATCH frame; large bodies are views.

    :raises FrameError: lengths lead out of the frame.
    """
    payload, count = frame.payload, frame.items
    if count == 1 and _ONE.size <= len(payload) < SMALL:
        return [_unpack_single(bytes(payload), shared)]
    rows = _rows(count)
    at = rows.size
    position = at + ID_SIZE * count
    if len(payload) < position:
        raise FrameError("a batch that is shorter than its table")
    lengths = iter(rows.unpack_from(payload))
    # Cut from bytes, pieces are bytes at once; in a large frame, bodies are not copied.
    data = bytes(payload) if len(payload) < SMALL else payload
    is_copied = data is not payload
    items = []
    for head_size, extra_size, body_size, flags in zip(lengths, lengths, lengths, lengths, strict=True):
        extra_at = position + head_size
        body_at = extra_at + extra_size
        end = body_at + body_size
        body = data[body_at:end]
        answer_at = NOWHERE
        if flags & SHARED:
            offset, size, answer_at = read_place(BODY_PLACE, body)
            body = shared_body(offset, size, shared)
        head, extra = data[position:extra_at], data[extra_at:body_at] if extra_size else b""
        id_at, at = at, at + ID_SIZE
        request_id = data[id_at:at]
        if not is_copied:
            request_id, head, extra = bytes(request_id), bytes(head), bytes(extra)
        items.append(_item((request_id, head, extra, body, flags, answer_at)))
        position = end
    if position != len(data):
        raise FrameError(f"a batch of {len(data)} bytes whose rows say {position}")
    return items


def _unpack_single(data: bytes, shared: memoryview | None) -> Item:
    head_size, extra_size, body_size, flags, request_id = _ONE.unpack_from(data)
    extra_at = _ONE.size + head_size
    body_at = extra_at + extra_size
    if body_at + body_size != len(data):
        raise FrameError(f"a batch of {len(data)} bytes whose row says {body_at + body_size}")
    head, extra, body = data[_ONE.size : extra_at], data[extra_at:body_at], data[body_at:]
    if not flags & SHARED:
        return _item((request_id, head, extra, body, flags, NOWHERE))
    offset, size, answer_at = read_place(BODY_PLACE, body)
    return _item((request_id, head, extra, shared_body(offset, size, shared), flags, answer_at))


def read_place(form: struct.Struct, place: bytes | memoryview) -> tuple[int, ...]:
    """
    Return what stands in the stead of a body in shared memory.

    :raises FrameError: it has another length than ``form``.
    """
    if len(place) != form.size:
        raise FrameError("a body in shared memory without its place")
    return form.unpack(place)


def shared_body(offset: int, size: int, shared: memoryview | None) -> memoryview:
    """
    Return a view of a body in the shared memory.

    :raises FrameError: it leads out of it, or there is none.
    """
    if shared is None:
        raise FrameError("a body in shared memory, but there is none")
    if offset + size > len(shared):
        raise FrameError("a body beyond the shared memory")
    return shared[offset : offset + size]


def put_in_place(row: tuple[int, Answer], item: Item, shared: memoryview, size: int) -> tuple[int, Answer]:
    """Lay a large answer where its job says; ``size`` is that of a slot."""
    flags, (status, head, body) = row
    place = item.answer_at
    if place < 0 or len(body) > size:
        return row
    size = len(body)
    shared[place : place + size] = body
    return flags | SHARED, answer_of((status, head, PLACE.pack(place, size)))


def show_id(request_id: bytes) -> bytes:
    """A request id of ``ID_SIZE`` bytes as a UUID is written."""
    return b"-".join(uuid_pieces(hexlify(request_id)))


def pack_json(kind: int, document: object, number: int = 0) -> bytes:
    """A frame that carries a JSON document."""
    payload = json.dumps(document).encode()
    return pack_header(len(payload), kind, 0, 0, number) + payload


def pack_bare(kind: int, number: int = 0, count: int = 0) -> bytes:
    """A frame that is its header."""
    return pack_header(0, kind, 0, count, number)


def unpack_json(frame: Frame) -> Mapping[str, object]:
    """
    The document of a JSON frame.

    :raises FrameError: it is no JSON object.
    """
    try:
        document = json.loads(bytes(frame.payload))
    except (ValueError, RecursionError) as error:
        raise FrameError("no JSON") from error
    if not isinstance(document, dict):
        raise FrameError("no JSON object")
    return document
