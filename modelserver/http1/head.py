"""The head of an HTTP/1.1 request (RFC 9112), read strictly: what could be read in two ways is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from attrs import field

from modelserver.language.attributes import define, frozen
from modelserver.system.bounded_cache import Memo

Field = tuple[bytes, bytes]
"""A field's name in lower case, and its value without the space around it."""
LONGEST_HEAD = 16 * 1024
LONGEST_TARGET = 8 * 1024
MOST_FIELDS = 500
"""Twisted Web's limit, so that both ways refuse the same."""
UNKNOWN = "-", "-", "-"
"""What is shown of a request that could not be read."""
_EMPTY_LINES = re.compile(rb"(?:\r\n)*")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]+) HTTP/1\.([01])")
_OTHER_VERSION = re.compile(rb".* HTTP/([2-9](?:\.[0-9])?)")
_ABSOLUTE = re.compile(rb"https?://[^/?#@\\]+([/?].*)?", re.IGNORECASE)
# The space around a value is stripped afterwards: an expression for it would need the square of its length.
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
MOST_LINES = 4096
"""Request lines, and field lines, that are remembered: so many of each."""
LONGEST_LINE = 256
"""Bytes of such a line at most."""
_LISTS = frozenset(
    (b"accept", b"accept-language", b"cookie", b"forwarded", b"via", b"x-forwarded-for", b"x-forwarded-proto")
)
"""Fields that proxies and clients do repeat (RFC 9110, 5.3), and that nothing here decides by."""
_SINGLE = frozenset((b"host", b"content-length", b"transfer-encoding", b"authorization", b"content-type"))


@frozen
class Malformed(Exception):
    """A request that is refused before anybody looks at what it wants."""

    code: int
    reason: str


@define
class RequestHead:
    """
    A request line and its fields.

    :param target: path and query, whatever the form of the target in the request line.
    :param fields: by lower-case name; of a repeated field that may repeat, the last.
    :param block: the field lines as they came, each ended by CRLF.
    :param length: bytes of the body, or None for a chunked one.
    :param is_plain: nothing but a body is to come, and nothing but ``100-continue`` is expected.
    :param closes: the connection ends with the answer.
    :param expects: its client waits to be told to send the body (``Expect: 100-continue``).
    :param operation: what the request asks for, as the server's ``RequestHandler`` put it; nobody here looks
        into it. None: Twisted Web is to read the request.
    """

    method: bytes
    target: bytes
    minor: int
    fields: Mapping[bytes, bytes]
    block: bytes
    length: int | None
    is_plain: bool
    closes: bool = False
    expects: bool = field(default=False, kw_only=True)
    operation: object | None = None
    whole: int = -1
    """Bytes of a request, with its body, that connections serve themselves; else no number of bytes."""
    shown: tuple[str, str, str] = UNKNOWN
    """Method, target and protocol, for people to read."""
    is_new: bool = False
    """Whether one of its lines was not remembered."""


class RequestLine(NamedTuple):
    """
    A request line.

    :param target: path and query, whatever the form of the target in the line.
    :param shown: method, target and protocol for people to read, as they came.
    """

    method: bytes
    target: bytes
    minor: int
    shown: tuple[str, str, str]


UNREAD = RequestHead(b"", b"", 1, {}, b"", 0, is_plain=False)
"""Stands for the head of a request that could not be read."""


@define
class LineCache:
    """
    The lines of heads that were read, so that they are read once.

    Clients that change one line (the length of a body, the id of a trace) send the same others.
    """

    starts: Memo[bytes, RequestLine] = field(factory=lambda: Memo(_read_start, MOST_LINES, LONGEST_LINE))
    fields: Memo[bytes, Field] = field(factory=lambda: Memo(_read_field, MOST_LINES, LONGEST_LINE))


def skip_empty_lines(data: bytes) -> bytes:
    """What is left of ``data`` when the empty lines before a request are skipped (RFC 9112, 2.2)."""
    return _EMPTY_LINES.sub(b"", data, count=1)


def part_error(data: bytes) -> Malformed | None:
    """
    Return what is wrong with a head of which more is to come, if something is already.

    A line that ends in LF alone, as scripts write them, would have its client wait for an answer that never
    comes: in its eyes the head is whole.
    """
    if _BARE_LF.search(data, 0, LONGEST_HEAD) is not None:
        return Malformed(400, "Invalid HTTP message.")
    if len(data) > LONGEST_HEAD:
        code, what = (431, "head") if b"\r\n" in data[:LONGEST_HEAD] else (414, "line")
        return Malformed(code, f"The request's {what} is longer than {LONGEST_HEAD} bytes.")
    return None


def parse_head(data: bytes, end: int, known: LineCache | None = None) -> RequestHead:
    """
    Read the head that ``data[:end]`` is, the empty line included.

    :param known: lines that need not be read again; new ones are added.
    :raises Malformed: 400, 414 or 431.
    """
    known = LineCache() if known is None else known
    if data.count(b"\n", 0, end) != data.count(b"\r\n", 0, end):
        raise Malformed(
            400, "Invalid HTTP message."
        )  # before all else, since a part of it was enough to tell
    first, *lines = data[: end - 4].split(b"\r\n")
    method, target, minor, shown = known.starts[first]
    fields, repeated, is_new = _fields(lines, known.fields)
    if minor and b"host" not in fields:
        raise Malformed(400, "Invalid HTTP message: no Host.")
    length = _length(fields, minor == 1)
    connection = fields.get(b"connection", b"")
    options = [option.strip(b" \t") for option in connection.lower().split(b",")] if connection else ()
    # HTTP/1.0 clients have to ask for more than one answer (ab does).
    closes = b"close" in options or not (minor or b"keep-alive" in options)
    expectation = fields.get(b"expect")
    expects = minor == 1 and expectation is not None and expectation.lower() == b"100-continue"
    # Who asks for another protocol is answered in this one: Java's HttpClient does so with each request.
    is_plain = not repeated and (expects or expectation is None)
    block = data[len(first) + 2 : end - 2]
    return RequestHead(
        method,
        target,
        minor,
        fields,
        block,
        length,
        is_plain,
        closes,
        expects=expects,
        shown=shown,
        is_new=is_new,
    )


def _read_start(line: bytes) -> RequestLine:
    found = _LINE.fullmatch(line)
    if found is None:
        other = _OTHER_VERSION.fullmatch(line)
        which = "." if other is None else f": this address has HTTP/1.1, not HTTP/{other[1].decode()}."
        raise Malformed(400, "Invalid HTTP message" + which)
    method, target, minor = found.groups()
    if len(target) > LONGEST_TARGET:
        raise Malformed(414, f"The request target is longer than {LONGEST_TARGET} bytes.")
    if b"%00" in target:
        raise Malformed(400, "Invalid HTTP message: NUL in the request target.")
    protocol = f"HTTP/1.{minor.decode()}"
    shown = method.decode("latin-1"), target.decode("latin-1"), protocol
    return RequestLine(method, _origin_form(method, target), int(minor), shown)


def _origin_form(method: bytes, target: bytes) -> bytes:
    """
    Return the path and query that a request target means (RFC 9112, 3.2).

    Proxies send absolute URLs; who stands in them matters as little as ``Host``. ``OPTIONS *`` is about the
    whole server, which is what the root path describes.
    """
    if target.startswith(b"/"):
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        rest = absolute[1] or b""
        return rest if rest.startswith(b"/") else b"/" + rest
    if target == b"*" and method == b"OPTIONS":
        return b"/"
    raise Malformed(400, "Invalid HTTP message: the request target is no path.")


def _read_field(line: bytes) -> Field:
    found = _FIELD.fullmatch(line)
    if found is None:
        raise Malformed(400, "Invalid HTTP message.")
    name, value = found[1].lower(), found[2].strip(b" \t")
    if name == b"host" and not value.isascii():
        raise Malformed(400, "Invalid HTTP message: Host is not ASCII.")
    return name, value


def _fields(lines: Sequence[bytes], known: Memo[bytes, Field]) -> tuple[dict[bytes, bytes], bool, bool]:
    """The fields, whether one that may repeat does and is none of ``_LISTS``, and whether a line is new."""
    fields: dict[bytes, bytes] = {}
    repeated = is_new = False
    for line in lines:
        is_new = is_new or line not in known
        name, value = known[line]
        if name in fields:
            if name in _SINGLE:
                raise Malformed(400, f"Invalid HTTP message: {name.decode()} is repeated.")
            repeated = repeated or name not in _LISTS
        fields[name] = value
    if len(lines) > MOST_FIELDS:
        raise Malformed(431, f"The request has more than {MOST_FIELDS} header fields.")
    return fields, repeated, is_new


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
