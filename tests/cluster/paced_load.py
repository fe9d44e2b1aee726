"""Requests at a steady rate, whatever becomes of those before them, and as many as there can be."""

from __future__ import annotations

import http.client
import threading
import time

from attrs import define, field

from tests.harness.server_process import HOST, LONGEST, ServerProcess

CALLERS = 24


@define(eq=False)
class PacedLoad:
    """
    Asks a model so many times a second; a caller that is late asks at once.

    :param failed: answers that are not the body that was sent.
    """

    server: ServerProcess
    model: str
    rate: float
    answered: int = field(default=0, init=False)
    failed: list[object] = field(factory=list, init=False)
    _stop: threading.Event = field(factory=threading.Event, init=False)
    _threads: list[threading.Thread] = field(factory=list, init=False)

    def __enter__(self) -> PacedLoad:
        self._threads += [threading.Thread(target=self._ask, args=(each,)) for each in range(CALLERS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(LONGEST)

    def _ask(self, place: int) -> None:
        pause = CALLERS / self.rate
        due = time.monotonic() + place / self.rate
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += pause
            body = b"%d-%d" % (place, self.answered)
            try:
                answer = self.server.predict(self.model, body)
            except OSError as error:
                self.failed.append(error)
                continue
            self.answered += 1
            if (answer.status, answer.body) != (200, body):
                self.failed.append((answer.status, answer.text))


def closed_rate(server: ServerProcess, model: str, callers: int, seconds: float) -> float:
    """Return how many requests a second so many callers have answered, each on a connection of its own."""
    counts = [0] * callers
    until = time.monotonic() + seconds

    def ask(place: int) -> None:
        connection = http.client.HTTPConnection(HOST, server.ports[0], timeout=LONGEST)
        while time.monotonic() < until:
            connection.request("POST", f"/predictions/{model}", b"x" * 100)
            if connection.getresponse().read() == b"x" * 100:
                counts[place] += 1
        connection.close()

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONGEST)
    return sum(counts) / seconds
