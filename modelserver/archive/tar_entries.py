"""
Reads a gzip-compressed tar strictly, from start to end, in bounded memory.

The standard library's reader takes an extended header into memory whatever its size, so that a few megabytes
could fill the memory of the server.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from attrs import field

from modelserver.archive.entries import PIECE, Entry, Refused, Spend, shown
from modelserver.language.attributes import define

MAGIC = b"\x1f\x8b"
"""How a gzip starts."""

_BLOCK = tarfile.BLOCKSIZE
_END = bytes(_BLOCK)
_GZIP = 16 + zlib.MAX_WBITS
_LARGEST_HEADER = 1024 * 1024
_LARGEST_PADDING = 1024 * 1024
_MOST_HEADERS = 8
"""How many extended headers one entry may have."""
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
_EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_UTF8 = ("utf-8", "surrogateescape")


def tar_entries(stream: BinaryIO, most_entries: int, spend: Spend) -> Iterator[Entry]:
    """
    Yield the entries of a gzip-compressed tar.

    :raises Refused: the tar breaks a rule.
    """
    plain = _Plain(stream, spend)
    for number, member in enumerate(_members(plain)):
        if number >= most_entries:
            raise Refused(f"it has more than {most_entries} entries")
        content = _content(plain, member.size)
        yield Entry(member.name, member.isdir(), bool(member.mode & 0o100), content)
        for _ in content:
            pass
    plain.finish()


def _members(plain: _Plain) -> Iterator[tarfile.TarInfo]:
    """Yield the members, their extended headers applied; the content is to be read between two of them."""
    while (member := _member(plain)) is not None:
        _check(member)
        yield member


def _member(plain: _Plain) -> tarfile.TarInfo | None:
    """Return the next member, or None at the end marker."""
    path: str | None = None
    size: int | None = None
    for _ in range(_MOST_HEADERS):
        member = _header(plain)
        if member is None:
            return None
        if member.type in _EXTENDED:
            records = _records(plain.header(member.size))
            path = records.get("path", path)
            size = _size(records, size)
        elif member.type == tarfile.XGLTYPE:
            if {"path", "size"} & _records(plain.header(member.size)).keys():
                raise Refused("a global header renames or resizes entries")
        elif member.type == tarfile.GNUTYPE_LONGNAME:
            path = plain.header(member.size).split(b"\0", 1)[0].decode(*_UTF8)
        elif member.type == tarfile.GNUTYPE_LONGLINK:
            plain.header(member.size)
        else:
            # A folder may be marked by its slash alone, which TarInfo has then seen and removed.
            member.name = member.name if path is None else path
            member.size = member.size if size is None else size
            return member
    raise Refused("an entry has too many headers")


def _header(plain: _Plain) -> tarfile.TarInfo | None:
    block = plain.exactly(_BLOCK)
    if block == _END:
        return None
    try:
        member = tarfile.TarInfo.frombuf(block, *_UTF8)
    except tarfile.HeaderError as why:
        raise Refused("a header is damaged") from why
    if member.size < 0:
        raise Refused("an entry has a negative size")
    return member


def _records(content: bytes) -> dict[str, str]:
    """Return the records ``length key=value`` of a POSIX extended header."""
    records = {}
    while content and content[0]:
        length, space, _ = content[:24].partition(b" ")
        if not space or not length.isdigit() or not len(length) < int(length) <= len(content):
            raise Refused("an extended header is damaged")
        record = content[len(length) + 1 : int(length)]
        key, equals, value = record[:-1].partition(b"=")
        if not equals or record[-1:] != b"\n":
            raise Refused("an extended header is damaged")
        if key.startswith(b"GNU.sparse"):
            raise Refused("it has a sparse file")
        records[key.decode(*_UTF8)] = value.decode(*_UTF8)
        content = content[int(length) :]
    return records


def _size(records: dict[str, str], default: int | None) -> int | None:
    text = records.get("size")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise Refused("an extended header is damaged")
    return int(text)


def _check(member: tarfile.TarInfo) -> None:
    if member.type in _LINKS:
        raise Refused(f"entry {shown(member.name)} is a link")
    if member.type in _DEVICES:
        raise Refused(f"entry {shown(member.name)} is a device")
    if member.type == tarfile.GNUTYPE_SPARSE:
        raise Refused("it has a sparse file")
    if member.type == tarfile.DIRTYPE:
        if member.size:
            raise Refused(f"folder {shown(member.name)} has a content")
    elif member.type not in _FILES:
        raise Refused(f"entry {shown(member.name)} is of an unknown kind")


def _content(plain: _Plain, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = plain.exactly(min(left, PIECE))
        left -= len(piece)
        yield piece
    plain.exactly(-size % _BLOCK)


@define
class _Plain:
    """The decompressed bytes, in order; each is spent before the next is made."""

    _stream: BinaryIO
    _spend: Spend
    # zlib's object has no public name to annotate it with
    _inflate: zlib._Decompress = field(factory=lambda: zlib.decompressobj(_GZIP), init=False)
    _ready: bytes = field(default=b"", init=False)
    _used: int = field(default=0, init=False)
    _waiting: bytes = field(default=b"", init=False)

    def exactly(self, size: int) -> bytes:
        """
        Return the next ``size`` bytes.

        :raises Refused: the stream ends before.
        """
        pieces = []
        while size:
            if self._used == len(self._ready) and not self._fill():
                raise Refused("it ends before its end marker")
            piece = self._ready[self._used : self._used + size]
            self._used += len(piece)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def header(self, size: int) -> bytes:
        """Return the content of an extended header, and skip its padding."""
        if size > _LARGEST_HEADER:
            raise Refused("an extended header is too large")
        content = self.exactly(size)
        self.exactly(-size % _BLOCK)
        return content

    def finish(self) -> None:
        """
        Read the padding to the end, where the checksum is.

        :raises Refused: the stream does not end after its padding.
        """
        left = _LARGEST_PADDING
        while self._fill():
            left -= len(self._ready)
            if left < 0:
                raise Refused("something follows its end")

    def _fill(self) -> bool:
        """Decompress the next piece; False at the end."""
        self._ready, self._used = b"", 0
        while not self._ready and not self._inflate.eof:
            self._waiting = self._waiting or self._stream.read(PIECE)
            is_last = not self._waiting
            self._ready = self._inflate.decompress(self._waiting, PIECE)
            self._waiting = self._inflate.unconsumed_tail
            if is_last and not self._ready:
                raise Refused("it is truncated")
        self._spend(len(self._ready))
        return bool(self._ready)
