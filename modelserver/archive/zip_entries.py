"""
Reads a zip container strictly.

The standard library's reader accepts entries that overlap, prefixes, names that differ between the central
directory and the file itself, and builds an object for each of a million entries before anybody can object.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO, NamedTuple

from modelserver.archive.entries import PIECE, Entry, Refused, Spend, shown

MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip starts: with an entry, or with the end of an empty one."""

_END = struct.Struct("<4s4H2LH")
_END_64_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL_16, _FULL_32 = 0xFFFF, 0xFFFFFFFF
_LONGEST_COMMENT = 0xFFFF
_LONGEST_NAME = 4096

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008
_STORED, _DEFLATED = 0, 8


class _Record(NamedTuple):
    """One line of the central directory."""

    name: bytes
    flags: int
    method: int
    checksum: int
    compressed: int
    size: int
    mode: int
    offset: int


class _Directory(NamedTuple):
    """Where the central directory lies, and how many records it has."""

    offset: int
    size: int
    records: int


def zip_entries(stream: BinaryIO, most_entries: int, spend: Spend) -> Iterator[Entry]:
    """
    Yield the entries of a zip.

    :raises Refused: the zip breaks a rule.
    """
    directory = _find_directory(stream)
    if directory.records > most_entries:
        raise Refused(f"it has more than {most_entries} entries")
    records = list(_records(stream, directory))
    starts = _check_places(stream, records, directory.offset)
    for record, start in zip(records, starts, strict=True):
        yield _entry(stream, record, start, spend)


def _entry(stream: BinaryIO, record: _Record, start: int, spend: Spend) -> Entry:
    name = _decode(record.name)
    is_folder = name.endswith("/")
    kind = stat.S_IFMT(record.mode)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Refused(f"entry {shown(name)} is a link or a device")
    if kind == stat.S_IFDIR and not is_folder:
        raise Refused(f"entry {shown(name)} is a file and a folder")
    if is_folder and record.size:
        raise Refused(f"folder {shown(name)} has a content")
    content = iter(()) if is_folder else _content(stream, record, start, spend)
    return Entry(name, is_folder, bool(record.mode & stat.S_IXUSR), content)


def _decode(name: bytes) -> str:
    """Decode a name: UTF-8 whatever the flag says, as TorchServe and MMS do; else code page 437."""
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        return name.decode("cp437")


def _take(stream: BinaryIO, size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise Refused("it is truncated")
    return content


def _find_directory(stream: BinaryIO) -> _Directory:
    end = stream.seek(0, os.SEEK_END)
    tail_size = min(end, _END.size + _LONGEST_COMMENT)
    stream.seek(end - tail_size)
    tail = _take(stream, tail_size)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _END.size > len(tail):
        raise Refused("it is truncated")
    _, disk, first_disk, here, records, size, offset, comment = _END.unpack_from(tail, place)
    if place + _END.size + comment != len(tail):
        raise Refused("something follows its end")
    place += end - tail_size
    directory = _Directory(offset, size, records)
    if _FULL_16 in (here, records) or _FULL_32 in (size, offset):
        disk, first_disk, here, directory, place = _find_directory_64(stream, directory, place)
    if disk or first_disk or here != directory.records:
        raise Refused("it is one part of several")
    if directory.offset + directory.size != place:
        raise Refused("its directory is not where it says")
    return directory


def _find_directory_64(
    stream: BinaryIO, plain: _Directory, end: int
) -> tuple[int, int, int, _Directory, int]:
    """The same for zip64, where there is one; numbers of disks, records, the directory, where it ends."""
    locator_place = end - _END_64_LOCATOR.size
    if locator_place < 0:
        return 0, 0, plain.records, plain, end
    stream.seek(locator_place)
    magic, disk, place, disks = _END_64_LOCATOR.unpack(_take(stream, _END_64_LOCATOR.size))
    if magic != b"PK\x06\x07":
        return 0, 0, plain.records, plain, end
    if disk or disks > 1 or place + _END_64.size != locator_place:
        raise Refused("its directory is not where it says")
    stream.seek(place)
    magic, _, _, _, disk, first_disk, here, records, size, offset = _END_64.unpack(
        _take(stream, _END_64.size)
    )
    if magic != b"PK\x06\x06":
        raise Refused("its directory is not where it says")
    return disk, first_disk, here, _Directory(offset, size, records), place


def _records(stream: BinaryIO, directory: _Directory) -> Iterator[_Record]:
    """Yield the central directory, exactly as long as its end says."""
    stream.seek(directory.offset)
    left = directory.size
    for _ in range(directory.records):
        fields = _CENTRAL.unpack(_take(stream, _CENTRAL.size))
        magic, _, _, flags, method, _, _, checksum, compressed, size = fields[:10]
        name_size, extra_size, comment_size, disk, _, attributes, offset = fields[10:]
        left -= _CENTRAL.size + name_size + extra_size + comment_size
        if magic != b"PK\x01\x02" or left < 0 or disk not in (0, _FULL_16):
            raise Refused("its directory is damaged")
        if name_size > _LONGEST_NAME:
            raise Refused("a name is too long")
        name, extra = _take(stream, name_size), _take(stream, extra_size)
        _take(stream, comment_size)
        size, compressed, offset = _wide(extra, (size, compressed, offset))
        if offset >= directory.offset:
            raise Refused("entries overlap")
        yield _Record(
            name=name,
            flags=flags,
            method=method,
            checksum=checksum,
            compressed=compressed,
            size=size,
            mode=attributes >> 16,
            offset=offset,
        )
    if left:
        raise Refused("its directory is damaged")


def _wide(extra: bytes, numbers: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return size, compressed size and offset, from the zip64 field where 32 bits are too few."""
    if _FULL_32 not in numbers:
        return numbers
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = iter(extra[4 : 4 + length][start : start + 8] for start in range(0, length, 8))
            size, compressed, offset = (_number(wide) if each == _FULL_32 else each for each in numbers)
            return size, compressed, offset
        extra = extra[4 + length :]
    return numbers


def _number(wide: Iterator[bytes]) -> int:
    content = next(wide, b"")
    if len(content) != 8:
        raise Refused("its directory is damaged")
    return int.from_bytes(content, "little")


def _check_places(stream: BinaryIO, records: Sequence[_Record], end: int) -> list[int]:
    """Where the content of each record starts; each must be a part of the file of its own."""
    spans: list[tuple[int, int]] = []
    starts = []
    for record in records:
        start = _content_start(stream, record)
        starts.append(start)
        spans.append((record.offset, start + record.compressed))
    spans.sort()
    for (_, first_end), (second_start, _) in pairwise([*spans, (end, end)]):
        if first_end > second_start:
            raise Refused("entries overlap")
    return starts


def _content_start(stream: BinaryIO, record: _Record) -> int:
    """Compare an entry's own header with its record, as other readers believe the header alone."""
    if record.flags & _ENCRYPTED:
        raise Refused("it is encrypted")
    if record.method not in (_STORED, _DEFLATED):
        raise Refused(f"compression method {record.method} is not supported")
    if record.method == _STORED and record.compressed != record.size:
        raise Refused("an entry says two sizes")
    stream.seek(record.offset)
    magic, _, flags, method, _, _, checksum, compressed, size, name_size, extra_size = _LOCAL.unpack(
        _take(stream, _LOCAL.size)
    )
    if magic != b"PK\x03\x04" or method != record.method or _take(stream, name_size) != record.name:
        raise Refused("an entry differs from its line in the directory")
    if flags & _ENCRYPTED:
        raise Refused("it is encrypted")
    if not flags & _SIZES_FOLLOW:
        said = ((checksum, record.checksum), (compressed, record.compressed), (size, record.size))
        if any(here not in (there, _FULL_32) for here, there in said):
            raise Refused("an entry differs from its line in the directory")
    return record.offset + _LOCAL.size + int(name_size) + int(extra_size)


def _content(stream: BinaryIO, record: _Record, start: int, spend: Spend) -> Iterator[bytes]:
    """Yield the file's bytes; size and checksum are checked at the end, excess bytes at once."""
    pieces = _stored if record.method == _STORED else _deflated
    size, checksum = 0, 0
    for piece in pieces(stream, start, record.compressed):
        size += len(piece)
        if size > record.size:
            raise Refused(f"entry {shown(_decode(record.name))} is larger than it says")
        checksum = zlib.crc32(piece, checksum)
        spend(len(piece))
        yield piece
    if size != record.size or checksum != record.checksum:
        raise Refused(f"entry {shown(_decode(record.name))} is damaged")


def _stored(stream: BinaryIO, start: int, left: int) -> Iterator[bytes]:
    stream.seek(start)
    while left:
        piece = _take(stream, min(left, PIECE))
        left -= len(piece)
        yield piece


def _deflated(stream: BinaryIO, start: int, left: int) -> Iterator[bytes]:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    for compressed in _stored(stream, start, left):
        waiting = compressed
        while waiting or not inflate.eof:
            piece = inflate.decompress(waiting, PIECE)
            waiting = inflate.unconsumed_tail
            if piece:
                yield piece
            elif not waiting:
                break
        if inflate.unused_data:
            raise Refused("something follows the content of an entry")
    if not inflate.eof:
        raise Refused("it is truncated")
