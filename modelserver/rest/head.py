"""The head of an HTTP/1.1 request (RFC 9112), read strictly: what could be read in two ways is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import define, frozen

from modelserver.rest.targets import Prediction

LONGEST_HEAD = 16 * 1024
LONGEST_TARGET = 8 * 1024
MOST_FIELDS = 500
"""Twisted Web's limit, so that both ways refuse the same."""
UNKNOWN = "-", "-", "-"
"""What is shown of a request that could not be read."""
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])\r\n")
# The space around a value is stripped afterwards: an expression for it would need the square of its length.
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)\r\n")
_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type"))
_NEEDS_STOCK = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"trailer"))


@frozen
class Malformed(Exception):
    """A request that is refused before anybody looks at what it wants."""

    code: int
    reason: str


@define
class Head:
    """
    A request line and its fields.

    :param fields: by lower-case name; of a repeated field that may repeat, the last.
    :param block: the field lines as they came, each ended by CRLF.
    :param length: bytes of the body, or None for a chunked one.
    :param is_plain: Content-Length alone says where the body ends, the connection stays, nothing is expected.
    :param prediction: what the target asks of a model; set by whoever resolves it.
    """

    method: bytes
    target: bytes
    minor: int
    fields: Mapping[bytes, bytes]
    block: bytes
    length: int | None
    is_plain: bool
    prediction: Prediction | None = None
    patience: float = 0.0
    operation: str = ""
    end: int = 0
    """Where the head ends, in bytes."""
    whole: int = -1
    """Bytes of the request with its body, of one that channels serve; else no number of bytes."""
    shown: tuple[str, str, str] = UNKNOWN
    """Method, target and protocol, for people to read."""

    def __attrs_post_init__(self) -> None:
        protocol = "HTTP/1.1" if self.minor else "HTTP/1.0"
        self.shown = self.method.decode("latin-1"), self.target.decode("latin-1"), protocol


def without_empty_lines(data: bytes) -> bytes:
    """What is left of ``data`` when the empty lines before a request are skipped (RFC 9112, 2.2)."""
    return _EMPTY_LINES.sub(b"", data, count=1)


def parse_head(data: bytes, end: int) -> Head:
    """
    Read the head that ``data[:end]`` is, the empty line included.

    :raises Malformed: 400, 414 or 431.
    """
    line = _LINE.match(data)
    if line is None:
        raise Malformed(400, "Invalid HTTP message.")
    method, target, minor = line.groups()
    if len(target) > LONGEST_TARGET:
        raise Malformed(414, f"The request target is longer than {LONGEST_TARGET} bytes.")
    if b"%00" in target:
        raise Malformed(400, "Invalid HTTP message: NUL in the request target.")
    start = line.end()
    fields, repeated = _fields(data, start, end)
    is_modern = minor == b"1"
    if is_modern and b"host" not in fields:
        raise Malformed(400, "Invalid HTTP message: no Host.")
    length = _length(fields, is_modern)
    connection = fields.get(b"connection", b"keep-alive").lower()
    is_plain = is_modern and not repeated and connection == b"keep-alive" and _NEEDS_STOCK.isdisjoint(fields)
    return Head(method, target, int(minor), fields, data[start : end - 2], length, is_plain)


def _fields(data: bytes, start: int, end: int) -> tuple[dict[bytes, bytes], bool]:
    fields: dict[bytes, bytes] = {}
    repeated = False
    count = 0
    while start < end - 2:
        field = _FIELD.match(data, start, end)
        if field is None:
            raise Malformed(400, "Invalid HTTP message.")
        name = field[1].lower()
        if name in fields:
            if name in _SINGLE:
                raise Malformed(400, f"Invalid HTTP message: {name.decode()} is repeated.")
            repeated = True
        fields[name] = field[2].strip(b" \t")
        start = field.end()
        count += 1
    if count > MOST_FIELDS:
        raise Malformed(431, f"The request has more than {MOST_FIELDS} header fields.")
    return fields, repeated


def _length(fields: Mapping[bytes, bytes], is_modern: bool) -> int | None:
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise Malformed(400, "Invalid HTTP message: Content-Length with Transfer-Encoding.")
        if not is_modern:
            raise Malformed(400, "Invalid HTTP message: Transfer-Encoding in HTTP/1.0.")
        if coding.lower() != b"chunked":
            raise Malformed(400, "Invalid HTTP message: unknown Transfer-Encoding.")
        return None
    if length is None:
        return 0
    if not length.isdigit() or len(length) > 15:
        raise Malformed(400, "Invalid HTTP message: Content-Length is no number.")
    return int(length)
