"""Header fields: the metadata of calls, their time limits, the texts of their ends."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence

from modelserver.errors import BadRequest
from modelserver.rpc.codes import CallRefused, Code, Metadatum
from modelserver.rpc.wire.codings import CODINGS
from modelserver.system.bounded_cache import Memo

Fields = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values."""
Lines = Mapping[tuple[bytes, bytes], bytes]
"""The header lines of fields."""
MOST_LINES = 256
"""Fields whose lines are remembered."""

OVERHEAD = 32
"""Bytes that HTTP/2 counts for each field, beside its own."""
LONGEST_MESSAGE = 4096
"""Bytes of the text of an end: clients take 8 kB of fields in all."""
_OURS = frozenset((b"te", b"content-type", b"host", b"content-length"))
_PASSED = frozenset((b"grpc-trace-bin", b"grpc-tags-bin", b"grpc-previous-rpc-attempts"))
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TIMEOUT = re.compile(rb"[0-9]{1,8}[HMSmun]")
_NAME = re.compile(r"[0-9a-z_.-]+")
_UNSAFE = re.compile(rb"[^ -$&-~]")
_UNPRINTABLE = re.compile(rb"[^ -~]")


def timeout_of(value: bytes) -> float:
    """
    Return the seconds of a ``grpc-timeout`` field.

    :raises BadRequest: it is none.
    """
    if not _TIMEOUT.fullmatch(value):
        raise BadRequest("The field grpc-timeout is malformed.")
    return int(value[:-1]) * _UNITS[value[-1:]]


def percent(text: str) -> bytes:
    """Return the text of an end as it goes into ``grpc-message``; of a long one, the beginning."""
    coded = _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], text.encode("utf-8", "replace"))
    if len(coded) <= LONGEST_MESSAGE:
        return coded
    short = coded[:LONGEST_MESSAGE]
    cut = short.rfind(b"%", LONGEST_MESSAGE - 2)
    return (short if cut < 0 else short[:cut]) + b"..."


def is_own(name: bytes) -> bool:
    """Return whether a field is the caller's own, and not HTTP's or gRPC's."""
    return name[:1] != b":" and name not in _OURS and (name[:5] != b"grpc-" or name in _PASSED)


def metadata_of(pairs: Fields) -> list[Metadatum]:
    """
    Return the caller's own fields as metadata.

    :raises BadRequest: what should be base64 is not.
    """
    found: list[Metadatum] = []
    for raw, value in pairs:
        if not is_own(raw):
            continue
        name = raw.decode("latin-1")
        if name.endswith("-bin"):
            found += [(name, each) for each in _binary(value)]
        else:
            found.append((name, value.decode("latin-1")))
    return found


def line_of(field: tuple[bytes, bytes]) -> bytes:
    """Return a field as a header line of HTTP/1.1, if it is the caller's own; else nothing."""
    return b"%b: %b\r\n" % field if is_own(field[0]) else b""


def header_block_of(pairs: Fields, lines: Lines) -> bytes:
    """
    Return the caller's own fields as header lines, as jobs carry them.

    :param lines: from ``new_lines``.
    """
    return b"".join([lines[field] for field in pairs])


def new_lines() -> Lines:
    """Return what remembers the lines of fields: clients send the same ones again and again."""
    return Memo(line_of, MOST_LINES)


def _binary(value: bytes) -> list[bytes]:
    """Return the values of a ``-bin`` field: one, or several with commas between; padding may be left out."""
    try:
        return [
            b64decode(one.strip() + b"=" * (-len(one.strip()) % 4), validate=True)
            for one in value.split(b",")
        ]
    except binascii.Error:
        raise BadRequest("The value of a metadatum that ends in -bin is no base64.") from None


def fields_of(pairs: Iterable[Metadatum]) -> list[tuple[bytes, bytes]]:
    """
    Return metadata as header fields.

    Those that HTTP/2 cannot carry are left out: a client would end the whole connection for them.
    """
    made = []
    for given, value in pairs:
        name = given.lower()
        raw = value.encode("utf-8", "replace") if isinstance(value, str) else bytes(value)
        if name.endswith("-bin"):
            raw = b64encode(raw).rstrip(b"=")
        if _NAME.fullmatch(name) and not name.startswith("grpc-") and not _UNPRINTABLE.search(raw):
            made.append((name.encode("ascii"), raw.strip()))
    return made


def size_of(pairs: Fields) -> int:
    """Return how many bytes fields have, as HTTP/2 counts them."""
    return sum([len(name) + len(value) + OVERHEAD for name, value in pairs])


def http_refusal(known: Mapping[bytes, bytes]) -> int | None:
    """Return the HTTP status for a request that is no call at all, or None."""
    if known.get(b":method") != b"POST":
        return 405
    kind = known.get(b"content-type", b"")
    if kind[:16] != b"application/grpc" or kind[16:17] not in (b"", b"+", b";"):
        return 415
    return None


def check(known: Mapping[bytes, bytes], pairs: Fields, most: int) -> None:
    """
    Check the fields of a call.

    :param most: bytes that they may have, as HTTP/2 counts them.
    :raises CallRefused: they have more, or name a coding that is not known.
    """
    size = size_of(pairs)
    if size > most:
        raise CallRefused(Code.RESOURCE_EXHAUSTED, f"Received metadata larger than max ({size} vs. {most}).")
    coding = known.get(b"grpc-encoding")
    if coding is not None and coding not in CODINGS:
        raise CallRefused(Code.UNIMPLEMENTED, f"The coding {coding.decode('latin-1')} is not known.")
