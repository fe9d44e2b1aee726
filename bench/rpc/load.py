"""
Puts calls on a server, and reads what the client tells.

Small ones by h2load, from Debian's ``nghttp2-client``; large ones by the bench's own light client: on the
same two processors, h2load needs nearly as much time for a call of 1 MB as the server does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from attrs import frozen

from bench.client import percentile
from bench.load import LARGE_BODY, SCRIPT, Figures, LoadFailed, Spent, children_cpu
from bench.processes import Tree
from bench.rpc.messages import SERVICE

PROGRAM, OWN = "h2load", "sockets"
"""The clients."""
CLIENTS = ("auto", PROGRAM, OWN)
GOOD = "200"


@frozen
class RpcLoad:
    """
    Calls that are always the same.

    :param method: of ``InferenceAPIsService``.
    :param body: the file with the framed request.
    :param in_flight: calls at a time, on one connection.
    :param answer_bytes: what a right answer has of DATA: with h2load, all of them together are counted, as it
        does not read a call's status.
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


def own_command(load: RpcLoad) -> list[str]:
    """The command line of the bench's own client."""
    return [
        *(sys.executable, "-m", "bench.rpc.client", "--port", str(load.port), "--method", load.method),
        *("--body", str(load.body), "--in-flight", str(load.in_flight), "--seconds", str(load.seconds)),
        *("--length", str(load.answer_bytes)),
    ]


def choose(load: RpcLoad, wanted: str) -> str:
    """
    The client for a load.

    :param wanted: ``auto`` or the client's name.
    """
    if wanted != "auto":
        return wanted
    is_large = load.body.stat().st_size >= LARGE_BODY
    return OWN if is_large and find_spec("hpack") is not None else PROGRAM


def put(load: RpcLoad, tree: Tree, wanted: str = "auto") -> Figures:
    """
    Put the calls on a server and tell what came of it.

    :raises LoadFailed: the client failed, or told nothing.
    """
    client, average = choose(load, wanted), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "calls"
        line = command(load, log) if client == PROGRAM else own_command(load)
        environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
        own_before, before = children_cpu(), tree.cpu_seconds()
        try:
            ran = subprocess.run(
                line, capture_output=True, text=True, timeout=load.seconds + 60, env=environment, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LoadFailed(f"{client} did not end") from error
        spent = Spent(tree.cpu_seconds() - before, children_cpu() - own_before, average)
        if ran.returncode:
            raise LoadFailed(f"{client}: {ran.stderr.strip() or ran.stdout.strip()}")
        if client == PROGRAM:
            return read(ran.stdout, log.read_text(), load, spent)
        return read_own(ran.stdout, spent)


def read_own(printed: str, spent: Spent) -> Figures:
    """
    What the bench's own client has told, as figures.

    :raises LoadFailed: the text is not as expected.
    """
    try:
        told = json.loads(printed)
        right, seconds, counted = int(told["requests"]), float(told["seconds"]), dict(told["errors"])
        errors = sum(counted.values())
        return Figures(
            rate=right / seconds if seconds else 0.0,
            p50=told["p50"],
            p99=told["p99"],
            cpu=spent.server / (right + errors) if right + errors else 0.0,
            client_cpu=told["cpu"] / seconds if seconds else 0.0,
            requests=right,
            errors=errors,
            first_error=next(iter(counted), ""),
            load=spent.average,
            client=OWN,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LoadFailed(f"{OWN} told nothing: {printed[-500:]}") from error


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
