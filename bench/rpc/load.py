"""Puts calls on a server by h2load, from Debian's ``nghttp2-client``, and reads what it tells."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from attrs import frozen

from bench.client import percentile
from bench.load import Figures, LoadFailed, Spent, children_cpu
from bench.processes import Tree
from bench.rpc.messages import SERVICE

PROGRAM = "h2load"
GOOD = "200"


@frozen
class RpcLoad:
    """
    Calls that are always the same.

    :param method: of ``InferenceAPIsService``.
    :param body: the file with the framed request.
    :param in_flight: calls at a time, on one connection.
    :param answer_bytes: what a right answer has of DATA: all of them together are counted, as h2load does not
        read a call's status.
    """

    port: int
    method: str
    body: Path
    in_flight: int
    seconds: int
    answer_bytes: int


def is_there() -> bool:
    """Whether h2load is installed."""
    return shutil.which(PROGRAM) is not None


def command(load: RpcLoad, log: Path) -> list[str]:
    """The command line of h2load."""
    headers = ("content-type: application/grpc", "te: trailers", "user-agent: grpc-python/1.85 grpc-c/55")
    return [
        *(PROGRAM, "-t1", "-c1", f"-m{load.in_flight}", f"-D{load.seconds}", "-d", str(load.body)),
        *(word for header in headers for word in ("-H", header)),
        *("--log-file", str(log), f"http://127.0.0.1:{load.port}/{SERVICE}/{load.method}"),
    ]


def put(load: RpcLoad, tree: Tree) -> Figures:
    """
    Put the calls on a server and tell what came of it.

    :raises LoadFailed: h2load failed, or told nothing.
    """
    average = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "calls"
        own_before, before = children_cpu(), tree.cpu_seconds()
        try:
            ran = subprocess.run(
                command(load, log), capture_output=True, text=True, timeout=load.seconds + 60, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"{PROGRAM} did not end") from error
        spent = Spent(tree.cpu_seconds() - before, children_cpu() - own_before, average)
        if ran.returncode:
            raise LoadFailed(f"{PROGRAM}: {ran.stderr.strip() or ran.stdout.strip()}")
        return read(ran.stdout, log.read_text(), load, spent)


def read(printed: str, log: str, load: RpcLoad, spent: Spent) -> Figures:
    """
    What h2load has told, as figures.

    :param log: a line for each call: its begin, its HTTP status, its microseconds.
    :raises LoadFailed: the text is not as expected.
    """
    requests = re.search(r"(\d+) done, (\d+) succeeded", printed)
    sent = re.search(r"\((\d+)\) data$", printed, re.MULTILINE)
    if requests is None or sent is None:
        raise LoadFailed(f"{PROGRAM} told nothing: {printed[-500:]}")
    done, good = int(requests[1]), int(requests[2])
    calls = [line.split() for line in log.splitlines()]
    times = sorted(int(micros) / 1e6 for _, status, micros in calls if status == GOOD)
    # What was begun and cut at the end may have sent something, too.
    short = int(sent[1]) < load.answer_bytes * good
    errors = done - good + (good if short else 0)
    return Figures(
        rate=0.0 if short else good / load.seconds,
        p50=percentile(times, 0.5),
        p99=percentile(times, 0.99),
        cpu=spent.server / done if done else 0.0,
        client_cpu=spent.client / load.seconds,
        requests=0 if short else good,
        errors=errors,
        first_error="answers are too short" if short else "status" if errors else "",
        load=spent.average,
        client=PROGRAM,
    )
