"""The fields that calls begin with: clients send the same ones again and again; they are read once."""

from __future__ import annotations

from collections.abc import Callable

from modelserver.language.attributes import frozen
from modelserver.rpc.interfaces import RpcMethod
from modelserver.rpc.wire.codings import IDENTITY
from modelserver.rpc.wire.fields import Fields, Lines, header_block_of, new_lines

MOST_KNOWN = 256
"""Sets of fields that are remembered; together they have 1 MB at most."""
TIMEOUT = b"grpc-timeout"
_PLAIN = frozenset((b"application/grpc", b"application/grpc+proto"))
_IDENTITY = frozenset((None, IDENTITY))
_FEW, _SHORT = 20, 4096
"""Lines of fields, and bytes of their values, up to which they cannot be too many."""


@frozen(eq=False)
class RequestFields:
    """
    The fields of a call, and what they say; one object serves all calls that send the same.

    :param pairs: as they came, without ``grpc-timeout``.
    :param known: the last value of each.
    :param path: the method's, or what the client has sent.
    :param method: the method that the path means; None: there is none.
    :param is_plain: the call is gRPC's, of a method that there is, and its fields need no further look.
    :param header_block: the caller's own fields as header lines, as jobs carry them.
    :param explains: they ask for an explanation.
    :param is_usual: such a call begins at once: nothing is to be decided about it, and it has one message.
    """

    pairs: Fields
    known: dict[bytes, bytes]
    path: str
    method: RpcMethod | None
    is_plain: bool
    header_block: bytes
    explains: bool
    is_usual: bool


Waiting = tuple[RequestFields, bytes | None]
"""What fields say, and the value of ``grpc-timeout``, if it came."""


class KnownFields(dict[tuple[tuple[bytes, bytes], ...], Waiting]):
    """
    Looks up what fields say; plain ones are remembered, without their time limits.

    :param find: returns the method with exactly this path.
    :param is_open: returns whether nothing is to be decided about calls of a method.
    """

    def __init__(
        self, find: Callable[[bytes], RpcMethod | None], is_open: Callable[[RpcMethod], bool]
    ) -> None:
        super().__init__()
        self._find, self._is_open = find, is_open
        self._lines: Lines = new_lines()

    def __missing__(self, pairs: tuple[tuple[bytes, bytes], ...]) -> Waiting:
        rest = tuple([pair for pair in pairs if pair[0] != TIMEOUT])
        if len(rest) < len(pairs):
            # It is another one with nearly every call; the others are as before.
            return self[rest][0], dict(pairs)[TIMEOUT]
        read = self._read(rest)
        if read.is_plain:
            if len(self) >= MOST_KNOWN:
                self.clear()
            self[rest] = read, None
        return read, None

    def _read(self, pairs: Fields) -> RequestFields:
        known = dict(pairs)
        method = self._find(known.get(b":path", b""))
        is_plain = (
            method is not None
            and known.get(b":method") == b"POST"
            and known.get(b"content-type") in _PLAIN
            and known.get(b"grpc-encoding") in _IDENTITY
            and len(pairs) <= _FEW
            and sum([len(name) + len(value) for name, value in pairs]) <= _SHORT
        )
        return RequestFields(
            pairs=pairs,
            known=known,
            path=known.get(b":path", b"").decode("latin-1"),
            method=method,
            is_plain=is_plain,
            header_block=header_block_of(pairs, self._lines),
            explains=known.get(b"explain", b"").lower() == b"true",
            is_usual=is_plain and method is not None and not method.streams_in and self._is_open(method),
        )
