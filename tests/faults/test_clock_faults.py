"""The time of day jumps, both ways, while a server is under load: nothing that waits is measured by it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import define, field

from tests.harness.faults import OBEY, RawClient, WatchedServer, serving, statuses
from tests.harness.moved_clock import MovedClock
from tests.harness.server_process import LONGEST, eventually

pytestmark = pytest.mark.xdist_group("clock faults")
DAY, HOUR = 86_400.0, 3_600.0
MOVES = (DAY, -HOUR, 0.0, -DAY, 2 * DAY)
BATCH = """
import time

def handle(data, context):
    return data and [time.sleep(0.01) or "fine" for _ in data]
"""


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> MovedClock:
    """The clock of this module's server."""
    return MovedClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture(scope="module")
def server(clock: MovedClock) -> Iterator[WatchedServer]:
    """Two models: one gathers batches, the other does what it is told."""
    properties = {"header_timeout": "2", "default_response_timeout": "30", "idle_timeout": "50"}
    with serving({"obey": OBEY, "batch": BATCH}, properties, clock.environment) as started:
        assert started.register("obey.mar", initial_workers=2).status == 200
        assert started.register("batch.mar", batch_size=4, max_batch_delay=50).status == 200
        yield started


@pytest.fixture(autouse=True)
def _set_right(clock: MovedClock) -> Iterator[None]:
    yield
    clock.move(0.0)


@define(eq=False)
class Load:
    """Clients that ask one after the other until they are told to stop."""

    server: WatchedServer
    answers: list[tuple[str, int, str]] = field(factory=list, init=False)
    _is_over: threading.Event = field(factory=threading.Event, init=False)
    _threads: list[threading.Thread] = field(factory=list, init=False)

    def __enter__(self) -> Load:
        for model in ("batch", "obey") * 3:
            thread = threading.Thread(target=self._ask, args=(model,))
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join(LONGEST)

    def _ask(self, model: str) -> None:
        while not self._is_over.is_set():
            try:
                answer = self.server.predict(model, b"fine")
            except OSError as error:
                self.answers.append((model, 0, str(error)))
                return
            self.answers.append((model, answer.status, answer.text))

    def go_on(self, count: int = 40) -> None:
        """Return when each model has answered so many more."""
        for model in ("batch", "obey"):
            wanted = self._count(model) + count
            eventually(lambda model=model, wanted=wanted: self._count(model) >= wanted)  # type: ignore[misc]  # it has defaults

    def _count(self, model: str) -> int:
        return sum(each[0] == model for each in self.answers)


def test_a_clock_that_jumps_costs_no_request_and_no_worker(server: WatchedServer, clock: MovedClock) -> None:
    """Forward and back under load, with a call in a worker's hand and a connection that rests."""
    before = server.pids("obey") + server.pids("batch")
    started, gate = server.folder / "started", server.folder / "gate"
    with RawClient(server.ports[0]) as resting, Load(server) as load:
        resting.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        resting.read_answers(1)
        long = threading.Thread(
            target=lambda: long_answers.append(
                server.predict("obey", f"noted-wait {started} {gate}".encode())
            )
        )
        long_answers: list[object] = []
        long.start()
        eventually(started.exists)
        for seconds in MOVES:
            clock.move(seconds)
            load.go_on()
        gate.touch()
        long.join(LONGEST)
        resting.send(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
        resting.read_answers(2)
        assert statuses(resting.received) == [200, 200]
    assert {(status, text) for _, status, text in load.answers} == {(200, "fine")}
    assert [getattr(answer, "text", None) for answer in long_answers] == ["went on"]
    workers = server.workers("obey") + server.workers("batch")
    assert [worker.get("restarts", 0) for worker in workers] == [0, 0, 0]
    assert sorted(worker["pid"] for worker in workers) == sorted(before)


@pytest.mark.parametrize("seconds", [-HOUR, DAY], ids=["back", "forward"])
def test_limits_of_time_hold_after_a_jump(
    server: WatchedServer, clock: MovedClock, seconds: float, tmp_path: Path
) -> None:
    """A slow head is ended, a partial batch leaves, and a call past its client's time is answered."""
    with RawClient(server.ports[0]) as slow:
        slow.send(b"POST /predictions/obey HTTP/1.1\r\n")
        clock.move(seconds)
        assert statuses(slow.read_to_end()) == [408]
    assert server.predict("batch").text == "fine"
    late = server.inference(
        "POST", "/predictions/obey", f"wait {tmp_path / 'gate'}".encode(), {"X-Request-Timeout-Ms": "200"}
    )
    (tmp_path / "gate").touch()
    assert late.status == 504
