"""The messages that the peers' Java servers send to their workers, for programs and tests that read them."""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any, Protocol

_INT, _BOOL = struct.Struct(">i"), struct.Struct(">?")
LOAD, PREDICT = b"L", b"I"


class ReadableSocket(Protocol):
    """What is used of a socket."""

    def recv(self, size: int, /) -> bytes: ...


class MessageReader:
    """
    Reads from a socket that blocks.

    :param connection: where the messages come from.
    :param variable: names the environment's variable that switches the decoding of bodies off.
    :param tells_more: load messages end with an envelope, and whether the size of images is limited; else
        with the name of the files for what the worker prints.
    """

    def __init__(self, connection: ReadableSocket, variable: str, tells_more: bool) -> None:
        self._connection = connection
        self._decodes = os.environ.get(variable, "true") == "true"
        self._tells_more = tells_more

    def message(self) -> tuple[bytes, Any]:
        """
        The next message: its kind, ``L`` or ``I``, and a dict of what to load, or the list of requests.

        :raises ValueError: it is of another kind, or the connection was closed.
        """
        kind = self._bytes(1)
        if kind == LOAD:
            return kind, self._load()
        if kind == PREDICT:
            return kind, self._list(self._request)
        raise ValueError(f"Invalid command: {kind!r}")

    def _load(self) -> dict[str, object]:
        told: dict[str, object] = {"modelName": self._counted(), "modelPath": self._counted()}
        told["batchSize"], told["handler"], gpu = self._int(), self._counted(), self._int()
        if gpu >= 0:
            told["gpu"] = gpu
        if self._tells_more:
            told["envelope"] = self._counted()
            (told["limitMaxImagePixels"],) = _BOOL.unpack(self._bytes(1))
        else:
            told["ioFileDescriptor"] = self._counted()
        return told

    def _request(self, request_id: bytes) -> dict[str, object]:
        headers = self._list(lambda name: {"name": name, "value": self._counted()})
        return {"requestId": request_id, "headers": headers, "parameters": self._list(self._parameter)}

    def _parameter(self, name: bytes) -> dict[str, object]:
        kind, value = self._counted().decode(), self._counted()
        return {"name": name.decode(), "contentType": kind, "value": self._decoded(kind, value)}

    def _decoded(self, kind: str, value: bytes) -> object:
        if not self._decodes or not (kind == "application/json" or kind.startswith("text")):
            return value
        try:
            return json.loads(value) if kind == "application/json" else value.decode()
        except (ValueError, RecursionError) as error:
            print(f"A body of type {kind} could not be decoded: {error}", file=sys.stderr)
            return value

    def _list(self, item: Callable[[bytes], dict[str, object]]) -> list[dict[str, object]]:
        """Items until -1 stands in the place of a length; each begins with a text, which ``item`` gets."""
        found = []
        while (size := self._int()) != -1:
            found.append(item(self._bytes(size)))
        return found

    def _counted(self) -> bytes:
        return self._bytes(self._int())

    def _int(self) -> int:
        (number,) = _INT.unpack(self._bytes(_INT.size))
        return int(number)

    def _bytes(self, size: int) -> bytes:
        pieces, left = [], size
        while left > 0:
            piece = self._connection.recv(min(left, 1 << 20))
            if not piece:
                raise ValueError("Frontend disconnected")
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
