"""Writes replies on Twisted Web's requests, with the headers that every answer has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelserver.http1.responses import (
    CLOSE,
    FIRST_ERROR,
    KEEP_ALIVE,
    REQUEST_ID,
    UNCACHED,
    phrase_of,
)
from modelserver.interfaces import Reply
from modelserver.protocol.answer_head import BODILESS, EMPTY

if TYPE_CHECKING:
    from twisted.web.server import Request

Headers = Sequence[tuple[bytes, bytes]]


def prepare(request: Request, reply: Reply, request_id: str, extra: Headers = ()) -> bytes:
    """
    Set the status and the headers of an answer, and return its body for the caller to write.

    An answer with a status of 400 or more closes its connection.

    :param extra: more headers for every answer of this server (CORS).
    """
    request.setResponseCode(reply.code, reply.phrase or phrase_of(reply.code))
    request.defaultContentType = None
    headers = request.responseHeaders
    for name, value in reply.headers:
        headers.addRawHeader(name, value)
    # After the reply's own, for these are the server's to set.
    keeps = reply.code < FIRST_ERROR
    for name, value in (
        (REQUEST_ID, request_id.encode("ascii")),
        *UNCACHED,
        (b"connection", KEEP_ALIVE if keeps and request.channel.persistent else CLOSE),
    ):
        headers.setRawHeaders(name, [value])
    body = b"" if reply.code in EMPTY else reply.body
    if reply.code not in BODILESS:
        headers.setRawHeaders(b"content-length", [b"%d" % len(body)])
    for name, value in extra:
        if not headers.hasHeader(name):
            headers.addRawHeader(name, value)
    headers.removeHeader(b"server")
    if not keeps:
        request.channel.persistent = False
    return body
