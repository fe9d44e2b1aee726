"""Archives that mean harm, byte by byte."""

from __future__ import annotations

import gzip
import struct
import tarfile
import zlib
from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from modelserver.archive.unpack import UnpackLimits

Maker = Callable[[], bytes]


@frozen
class Part:
    """One entry of a zip, with everything about it that may be a lie."""

    name: bytes
    content: bytes = b"x"
    method: int = 0
    flags: int = 0
    mode: int = 0o100644
    local_name: bytes | None = None
    local_flags: int | None = None
    local_size: int | None = None
    size: int | None = None
    compressed: int | None = None
    checksum: int | None = None
    offset: int | None = None
    body: bytes | None = None
    extra: bytes = b""


def raw_zip(*parts: Part, gap: bytes = b"", records: int | None = None, comment: bytes = b"") -> bytes:
    """A zip with exactly these parts, lies included."""
    files, directory = b"", b""
    for part in parts:
        body = part.body if part.body is not None else part.content
        size = len(part.content) if part.size is None else part.size
        compressed = len(body) if part.compressed is None else part.compressed
        checksum = zlib.crc32(part.content) if part.checksum is None else part.checksum
        local_size = size if part.local_size is None else part.local_size
        local_flags = part.flags if part.local_flags is None else part.local_flags
        local_name = part.name if part.local_name is None else part.local_name
        offset = len(files) if part.offset is None else part.offset
        files += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, local_flags, part.method, 0, 33, checksum, compressed, local_size,
            len(local_name), 0,
        )  # fmt: skip
        files += local_name + body
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 0x314, 20, part.flags, part.method, 0, 33, checksum, compressed, size,
            len(part.name), len(part.extra), 0, 0, 0, part.mode << 16, offset,
        )  # fmt: skip
        directory += part.name + part.extra
    files += gap
    count = len(parts) if records is None else records
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(files), len(comment))
    return files + directory + end + comment


def named(*names: str | bytes) -> Maker:
    """A zip with files of these names."""
    return lambda: raw_zip(*(Part(name.encode() if isinstance(name, str) else name) for name in names))


def deflated(content: bytes) -> bytes:
    """``content`` as a bare deflate stream."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(content) + deflate.flush()


def zipped(content: bytes, **lies: Any) -> Maker:
    """A zip with one deflated file, about which something is said that is not so."""
    part = Part(b"w.pt", content, method=8, body=deflated(content))
    return lambda: raw_zip(evolve(part, **lies))


def member(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, **attributes: object) -> bytes:
    """One entry of a tar; ``attributes`` are TarInfo's."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    header = info.tobuf(tarfile.GNU_FORMAT)
    return header + content + bytes(-len(content) % 512)


def extended(records: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    """An extended header with this content."""
    return member("PaxHeader", records, kind)


def tarred(*members: bytes, end: bytes = bytes(1024)) -> Maker:
    """A gzip-compressed tar of these entries."""
    return lambda: gzip.compress(b"".join(members) + end)


def link(name: str, target: str, kind: bytes) -> bytes:
    """A link in a tar."""
    return member(name, b"", kind, linkname=target)


def overlapping() -> bytes:
    """Two entries whose records lead to one and the same file."""
    return raw_zip(Part(b"a"), Part(b"a", offset=0))


def nested_overlap() -> bytes:
    """A file whose content is the second entry, header and all: one kernel, counted twice."""
    inner = raw_zip(Part(b"b", b"kernel"))[: 30 + 1 + 6]
    outer = Part(b"a", inner)
    inner_part = Part(b"b", b"kernel", offset=31)
    return raw_zip(outer, evolve(inner_part, offset=31))


def encrypted() -> bytes:
    """What ``zip -e`` marks."""
    return raw_zip(Part(b"a", bytes(13), flags=1))


def truncated(maker: Maker, left: float) -> Maker:
    """Only the first part of an archive."""
    return lambda: maker()[: int(len(maker()) * left)]


def flipped(maker: Maker, place: int) -> Maker:
    """An archive with one byte changed."""

    def make() -> bytes:
        content = bytearray(maker())
        content[place] ^= 0xFF
        return bytes(content)

    return make


def with_directory_elsewhere() -> bytes:
    """The end says that the directory lies where it does not."""
    content = bytearray(raw_zip(Part(b"a")))
    struct.pack_into("<L", content, len(content) - 6, 5)
    return bytes(content)


def of_two_disks() -> bytes:
    """The first part of a split zip."""
    content = bytearray(raw_zip(Part(b"a")))
    struct.pack_into("<H", content, len(content) - 18, 1)
    return bytes(content)


def with_bad_zip64() -> bytes:
    """A zip64 field that is too short for what should be in it."""
    return raw_zip(Part(b"a", size=0xFFFFFFFF, extra=struct.pack("<2HL", 1, 4, 1)))


def with_far_zip64() -> bytes:
    """A zip64 offset beyond what a file can have."""
    return raw_zip(Part(b"a", offset=0xFFFFFFFF, extra=struct.pack("<2HQ", 1, 8, 2**64 - 1)))


def with_bad_checksum() -> bytes:
    """A tar whose header was changed."""
    entry = bytearray(member("a"))
    entry[0] = ord("b")
    return gzip.compress(bytes(entry) + bytes(1024))


def with_negative_size() -> bytes:
    """A tar entry of -1 bytes, in GNU's binary form, with the right checksum."""
    entry = bytearray(member("a", b""))
    entry[124:136] = b"\xff" * 12
    entry[148:156] = b" " * 8
    entry[148:156] = b"%06o\0 " % sum(entry[:512])
    return gzip.compress(bytes(entry) + bytes(1024))


SMALL = UnpackLimits(size=100_000, entries=20, path_length=100)
