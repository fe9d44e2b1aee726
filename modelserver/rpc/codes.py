"""gRPC's status codes, and how a call ends."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple


class Code(IntEnum):
    """The status codes of https://grpc.github.io/grpc/core/md_doc_statuscodes.html."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


Metadatum = tuple[str, str | bytes]
"""A name in lower case, and its value: bytes if the name ends in ``-bin``, else printable ASCII."""


class CallStatus(NamedTuple):
    """
    How a call ends.

    :param message: for people; any text.
    :param trailing: metadata that go with it.
    """

    code: Code
    message: str = ""
    trailing: Sequence[Metadatum] = ()


class CallRefused(Exception):
    """Ends a call with a code other than OK: for what a ``ServingError`` has no class."""

    def __init__(self, code: Code, message: str = "", trailing: Sequence[Metadatum] = ()) -> None:
        super().__init__(f"{code.name}: {message}")
        self.status = CallStatus(code, message, trailing)
