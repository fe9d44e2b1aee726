"""A small HTTP client for the commands: one request, one reply, no proxy."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from typing import NamedTuple


class ServerReply(NamedTuple):
    """What a server answered."""

    status: int
    body: bytes

    @property
    def message(self) -> str:
        """Return the text for a person: an error's message or a status, else the body as it is."""
        text = self.body.decode("utf-8", "replace").strip()
        return self.told("message") or self.told("status") or text

    def told(self, key: str) -> str:
        """Return what the JSON of the body has by a name, or nothing."""
        try:
            values = json.loads(self.body)
        except ValueError:
            return ""
        found = values.get(key) if isinstance(values, dict) else None
        return str(found) if found else ""


Ask = Callable[[str, str, bytes], ServerReply]
"""Send a method, a path and a body; an empty body is sent as none."""


class Client:
    """
    Sends requests to one server.

    :param seconds: how long to wait for a connection, and for each read of an answer.
    """

    def __init__(self, host: str, port: int, seconds: float) -> None:
        self._host = host
        self._port = port
        self._seconds = seconds

    def ask(self, method: str, path: str, body: bytes = b"") -> ServerReply:
        """
        Send a request and read the whole answer.

        :raises OSError: there is no server, or it does not answer in time.
        :raises http.client.HTTPException: the answer is not HTTP.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._seconds)
        try:
            connection.request(method, path, body or None)
            answer = connection.getresponse()
            return ServerReply(answer.status, answer.read())
        finally:
            connection.close()
