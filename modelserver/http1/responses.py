"""HTTP/1.1 answers as bytes, with the headers that every answer of the peers has."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Sequence
from http import HTTPStatus

from modelserver.interfaces import Reply
from modelserver.jobs import Answer
from modelserver.protocol.answer_head import BODILESS, EMPTY
from modelserver.protocol.frames import show_id, uuid_pieces

UNCACHED = (
    (b"Pragma", b"no-cache"),
    (b"Cache-Control", b"no-cache; no-store, must-revalidate, private"),
    (b"Expires", b"Thu, 01 Jan 1970 00:00:00 UTC"),
)
"""Fields of every answer, as the peers have them: ``NettyUtils.sendHttpResponse`` in
https://github.com/pytorch/serve/blob/master/frontend/server/src/main/java/org/pytorch/serve/util/NettyUtils.java
"""
REQUEST_ID = b"x-request-id"
KEEP_ALIVE, CLOSE = b"keep-alive", b"close"
"""Values of the field ``connection``, which every answer has."""
_SHARED = REQUEST_ID + b": %b\r\n" + b"".join([b"%b: %b\r\n" % field for field in UNCACHED])
_LENGTH = b"content-length: %d\r\n"
_END = b"connection: %b\r\n\r\n"
_PLAIN = (
    b"HTTP/1.1 200 \r\n"
    + _SHARED.replace(b"%b", b"%b-%b-%b-%b-%b", 1)
    + _LENGTH
    + _END.replace(b"%b", KEEP_ALIVE)
    + b"%b"
)
_WHOLE = b"HTTP/1.1 %d %b\r\n%b" + _SHARED + _LENGTH + _END
_STREAM = b"HTTP/1.1 %d %b\r\n%b" + _SHARED + b"%b" + _END
_CODING = b"transfer-encoding: chunked\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""Tells a client that waits to send the body of its request."""
LAST_CHUNK = b"0\r\n\r\n"
LARGE = 1 << 16
"""Bodies from here on are not copied behind their heads."""
_PHRASES = {
    413: b"Request Entity Too Large",
    414: b"Request-URI Too Long",
    416: b"Requested Range Not Satisfiable",
    422: b"Unprocessable Entity",
}
"""Those that have other names from Python 3.13 on."""
_CLASSES = {1: b"Informational", 2: b"Success", 3: b"Redirection", 4: b"Client Error", 5: b"Server Error"}
FIRST_ERROR = 400
"""Answers from this code on close the connection, as the peers' do."""


def plain_answer(request_id: bytes, body: bytes | bytearray | memoryview) -> bytes:
    """A small answer of which the handler has set nothing but its body."""
    return _PLAIN % (*uuid_pieces(hexlify(request_id)), len(body), body)


def answer_head(request_id: bytes, answer: Answer, cors: bytes = b"", closes: bool = False) -> bytes:
    """
    The head of a handler's answer; without a reason phrase unless the handler set one, as in the peers.

    :param closes: the client wants no more than this answer.
    """
    status, head, body = answer
    phrase, lines = _split(head)
    connection = CLOSE if closes or status >= FIRST_ERROR else KEEP_ALIVE
    if status in BODILESS:
        lines += _missing(cors, lines)
        return _STREAM % (status, phrase, lines, show_id(request_id), b"", connection)
    return _WHOLE % (
        status,
        phrase,
        lines + _missing(cors, lines),
        show_id(request_id),
        len(body),
        connection,
    )


def stream_head(
    request_id: bytes, answer: Answer, cors: bytes = b"", is_chunked: bool = True, closes: bool = False
) -> bytes:
    """
    The head of a streamed answer.

    :param is_chunked: the client knows chunks; else the end of the connection is the end of the body.
    :param closes: the client wants no more than this answer.
    """
    phrase, lines = _split(answer.header_block)
    coding = _CODING if is_chunked else b""
    closes = closes or not is_chunked or answer.status >= FIRST_ERROR
    connection = CLOSE if closes else KEEP_ALIVE
    lines += _missing(cors, lines)
    return _STREAM % (answer.status, phrase, lines, show_id(request_id), coding, connection)


def chunk(body: bytes | bytearray | memoryview) -> bytes:
    """One chunk of a streamed answer; an empty part is none, since an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(body), bytes(body)) if body else b""


def chunks(bodies: Sequence[bytes | bytearray | memoryview]) -> bytes:
    """Return a chunk for each of several parts, none empty; those of one length share what is between."""
    sizes = set(map(len, bodies))
    if len(sizes) > 1:
        return b"".join(map(chunk, bodies))
    head = b"%x\r\n" % sizes.pop()
    return b"".join((head, (b"\r\n" + head).join(bodies), b"\r\n"))


def reply(request_id: bytes, value: Reply, close: bool, cors: bytes = b"") -> bytes:
    """A dialect's reply."""
    lines = b"".join([b"%b: %b\r\n" % header for header in value.headers]) + cors
    connection = CLOSE if close else KEEP_ALIVE
    phrase = value.phrase or phrase_of(value.code)
    if value.code in BODILESS:
        return _STREAM % (value.code, phrase, lines, show_id(request_id), b"", connection)
    body = b"" if value.code in EMPTY else value.body
    head = _WHOLE % (value.code, phrase, lines, show_id(request_id), len(body), connection)
    return head + body


def phrase_of(code: int) -> bytes:
    """The standard reason phrase; of a code that has none, its class, as in the peers."""
    phrase = _PHRASES.get(code)
    if phrase is not None:
        return phrase
    try:
        return HTTPStatus(code).phrase.encode()
    except ValueError:
        return b"%b (%d)" % (_CLASSES.get(code // 100, b"Unknown Status"), code)


def _split(head: bytes) -> tuple[bytes, bytes]:
    phrase, _, lines = head.partition(b"\r\n")
    return phrase, lines


def _missing(cors: bytes, lines: bytes) -> bytes:
    """The CORS headers that the handler has not set itself: its own go before the server's."""
    if not cors or b"access-control-" not in lines.lower():
        return cors
    own = {line.partition(b":")[0].lower() for line in lines.split(b"\r\n")}
    return b"".join(
        [
            line + b"\r\n"
            for line in cors.split(b"\r\n")
            if line and line.partition(b":")[0].lower() not in own
        ]
    )
