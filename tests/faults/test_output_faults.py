"""What workers print, and who holds their pipes: in a real server."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.harness.faults import WatchedServer, serving
from tests.harness.server_process import ServerProcess, ServerTests, eventually

pytestmark = pytest.mark.xdist_group("worker faults")
PRINTING = """
import json, os, subprocess, sys

class Printing:
    def initialize(self, context):
        for step in range(301):
            sys.stderr.write("\\rloading shards: %3d%%" % (step // 3))
            sys.stderr.flush()
        sys.stderr.write("\\n")

    def handle(self, data, context):
        order = bytes(data[0].get("body") or data[0].get("data")).decode()
        if order == "much":
            print("record " + "x" * 65536 + " end of the record")
            for step in range(9000):
                print("step", step)
            print("saved the result")
        elif order == "records":
            for record in range(40):
                print("record " + "x" * 65536)
            print("saved the result")
        elif order == "leave":
            sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
            left = subprocess.Popen(sleep, start_new_session=True)
            return [str(left.pid)]
        else:
            print("heard", order)
        return ["done"] * len(data)
"""


@pytest.fixture(scope="module")
def printing() -> Iterator[WatchedServer]:
    """A server of two models of this handler, one of each kind of start."""
    with serving({"printing": PRINTING}, {"disable_system_metrics": "true"}) as server:
        yield server


def model_log(server: WatchedServer) -> str:
    """What is in ``model_log.log``."""
    return (server.folder / "logs" / "model_log.log").read_text()


@pytest.mark.parametrize("worker_start", ["spawn", "template"])
def test_bars_records_and_many_lines_are_in_the_log(printing: WatchedServer, worker_start: str) -> None:
    """A bar in a few lines with its last state, a record of 64 kB whole, 9,000 lines to the last one."""
    name = f"much-{worker_start}"
    answer = printing.register("printing.mar", model_name=name, initial_workers=1, worker_start=worker_start)
    assert answer.status == 200, answer.text
    assert printing.predict(name, b"much").body == b"done"

    def lines() -> list[str]:
        found = [line for line in model_log(printing).splitlines() if f"-{name}_" in line]
        return found if any("saved the result" in line for line in found) else []

    found = eventually(lines)
    bar = [line for line in found if "loading shards" in line]
    assert 1 <= len(bar) < 30
    assert "100%" in bar[-1]
    assert sum(line.endswith("x end of the record") for line in found) == 1
    assert sum(" step " in line for line in found) == 9000
    assert printing.management("DELETE", f"/models/{name}").status == 200


@pytest.mark.parametrize("worker_start", ["spawn", "template"])
def test_who_holds_the_pipes_of_a_worker_costs_no_descriptor(
    printing: WatchedServer, worker_start: str
) -> None:
    """A process in a session of its own lives on with the pipes; the server closes its ends."""
    name = f"leave-{worker_start}"
    answer = printing.register("printing.mar", model_name=name, initial_workers=1, worker_start=worker_start)
    assert answer.status == 200, answer.text
    server = psutil.Process(printing.process.pid)
    before = server.num_fds()
    for _ in range(3):
        left = int(printing.predict(name, b"leave").body)
        (worker,) = printing.pids(name)
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: printing.pids(name) not in ([], [worker]))  # noqa: B023
        assert printing.predict(name, b"fine").body == b"done"
        eventually(lambda: server.num_fds() <= before)
        if Path(f"/proc/{left}").exists():
            os.kill(left, signal.SIGKILL)
    assert printing.management("DELETE", f"/models/{name}").status == 200


class UnreadLines(list[str]):
    """Lines of a server's standard output; whoever adds one waits while nobody is to read."""

    def __init__(self) -> None:
        self.may_read = threading.Event()
        self.may_read.set()

    def append(self, line: str) -> None:
        self.may_read.wait()
        super().append(line)


TWISTD = "from twisted.scripts.twistd import run; run()"
SERVE = (
    "import sys; from modelserver.cli.launchers.serve import serve; "
    "sys.exit(serve(sys.argv[sys.argv.index('modelserver') + 1 :], own_console={own_console}))"
)


STARTS = [SERVE.format(own_console=True), SERVE.format(own_console=False), TWISTD]


@pytest.mark.parametrize("program", STARTS, ids=["launchers", "serve", "twistd"])
def test_a_console_that_nobody_reads_costs_lines_only(tmp_path: Path, program: str) -> None:
    """Everybody is answered; the loss is told in the log, and its number when there is a reader again."""
    server = ServerProcess(tmp_path, program=("-c", program))
    server.lines = lines = UnreadLines()
    server.store.mkdir()
    ServerTests("add_model").add_model(server, "printing", PRINTING)
    server.start()
    log = tmp_path / "logs" / "ts_log.log"
    try:
        answer = server.register("printing.mar", initial_workers=1)
        assert answer.status == 200, answer.text
        lines.may_read.clear()
        assert server.predict("printing", b"records").body == b"done"
        eventually(lambda: "saved the result" in log.read_text())
        # All of it may have waited as one piece; then the next lines find no room.
        eventually(
            lambda: (
                server.predict("printing", b"fine").body == b"done"
                and "Nobody reads standard output" in log.read_text()
            )
        )
        lines.may_read.set()
        eventually(lambda: server.predict("printing", b"more").status and "nobody read it" in log.read_text())
    finally:
        lines.may_read.set()
        server.end()
    assert "nobody read it" in server.log
