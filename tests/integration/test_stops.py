"""
Stops under load: whoever has a connection gets an answer to what was sent on it.

``STOPS=50 python -m pytest -n0 tests/integration/test_stops.py`` stops a server so many times.
"""

from __future__ import annotations

import http.client
import os
import threading
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.faults import OBEY
from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually

STOPS = int(os.environ.get("STOPS", "1"))
CLIENTS = 8


class Load:
    """
    Clients that ask again and again on one connection each, and come back when it is closed after an answer.

    :param seen: how many answers of which kind.
    :param lost: what became of requests without an answer.
    """

    def __init__(self, port: int) -> None:
        self.seen: Counter[str] = Counter()
        self.lost: list[str] = []
        self._port = port
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _ask(self, number: int) -> None:
        while True:
            connection = http.client.HTTPConnection(HOST, self._port, timeout=LONGEST)
            try:
                connection.connect()
            except OSError:  # nobody listens any more
                return
            try:
                while self._is_answered(connection, number):
                    pass
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                return
            finally:
                connection.close()

    def _is_answered(self, connection: http.client.HTTPConnection, number: int) -> bool:
        """Ask once; whether the connection stays."""
        headers = {"Expect": "nothing"} if number % 4 == 3 else {}  # which Twisted Web reads
        connection.request("POST", "/predictions/obey", b"x", headers)
        answer = connection.getresponse()
        answer.read()
        kind = str(answer.status)
        if answer.status == 503:
            kind += " with Retry-After" if answer.getheader("retry-after") else ""
        self.seen[kind] += 1
        return not answer.will_close

    def is_running(self) -> bool:
        """Whether there is load by now."""
        return self.seen["200"] > 100

    def join(self) -> None:
        for thread in self._threads:
            thread.join(LONGEST)
            assert not thread.is_alive()


@pytest.mark.timeout(120 + 30 * STOPS)
def test_nobody_is_left_without_an_answer() -> None:
    """Nor told that the model is not there."""
    total: Counter[str] = Counter()
    for _ in range(STOPS):
        with TemporaryDirectory(prefix="modelserver-stops-") as name:
            server = ServerProcess(Path(name))
            server.store.mkdir()
            ServerTests("add_model").add_model(server, "obey", OBEY)
            server.start()
            try:
                assert server.register("obey.mar").status == 200
                load = Load(server.ports[0])
                eventually(load.is_running)
            finally:
                server.end()
            load.join()
            assert load.lost == []
            total += load.seen
    assert set(total) <= {"200", "503 with Retry-After"}, total
    print(f"{STOPS} stops, 0 lost of {total.total()}: {dict(total)}")
