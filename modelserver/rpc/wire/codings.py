"""The codings that single messages may be compressed with."""

from __future__ import annotations

import zlib

from modelserver.errors import BadRequest, BodyTooLarge

IDENTITY = b"identity"
_WINDOWS = {b"gzip": 31, b"deflate": 15}
CODINGS = frozenset((IDENTITY, *_WINDOWS))
ACCEPTED = (b"grpc-accept-encoding", b"identity,gzip,deflate")
"""The field that tells a peer of them."""


def decode(message: bytes | memoryview, coding: bytes, largest: int) -> bytes:
    """
    Return a message that was compressed with one of ``CODINGS``, but not with ``IDENTITY``.

    :param largest: bytes that it may have.
    :raises BadRequest: it is broken.
    :raises BodyTooLarge: it is larger; no more than that is unpacked.
    """
    unpacking = zlib.decompressobj(_WINDOWS[coding])
    try:
        plain = unpacking.decompress(message, largest + 1)
    except zlib.error as error:
        raise BadRequest(f"A compressed message cannot be read: {error}") from None
    if len(plain) > largest:
        raise BodyTooLarge(largest)
    if not unpacking.eof or unpacking.unused_data:
        raise BadRequest("A compressed message is cut off, or something follows it.")
    return plain


def encode(message: bytes | bytearray | memoryview, coding: bytes) -> bytes:
    """Return a message, compressed fast with one of ``CODINGS``, but not with ``IDENTITY``."""
    packing = zlib.compressobj(1, zlib.DEFLATED, _WINDOWS[coding])
    return packing.compress(message) + packing.flush()
