"""Puts a load on a server: by wrk where throughput is asked for, else by the bench's own client."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from attrs import frozen

from bench.processes import Tree

LARGE_BODY = 65536
SCRIPT = Path(__file__).with_name("load.lua")


class LoadFailed(Exception):
    """The client did not run, or told nothing."""


@frozen
class Load:
    """
    What is asked of a server.

    :param body: the file with the request body, None for a GET.
    :param length: what the answer's body must measure, None where it is not known.
    :param seconds: how long; whole seconds.
    :param every: all connections ask at once, every so many seconds; 0: each again at once.
    :param slow_every: of such requests, one in so many is a slow one; 0: none.
    :param recorded: each request has a trace of its client's, another one each time, and the client records
        this share of them; None: requests have none. For wrk alone.
    """

    port: int
    path: str
    body: Path | None
    connections: int
    seconds: int
    length: int | None = None
    every: float = 0.0
    slow_every: int = 0
    content_type: str = "application/octet-stream"
    recorded: float | None = None

    @property
    def method(self) -> str:
        """POST where there is a body."""
        return "GET" if self.body is None else "POST"


@frozen
class Figures:
    """
    What came of it.

    :param rate: right answers per second.
    :param p50: seconds.
    :param p99: seconds.
    :param cpu: user and system seconds of the whole server tree for each request.
    :param client_cpu: CPU seconds of the client for each second: near 1 says that the client was the limit.
    :param load: the machine's load average over a minute, as it was before.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    client_cpu: float
    requests: int
    errors: int
    first_error: str
    load: float
    client: str


@frozen
class Spent:
    """CPU seconds of the server's tree and of the client, and the load average before."""

    server: float
    client: float
    average: float


def choose(load: Load, wanted: str) -> str:
    """
    The client for a load: ``wrk`` or ``sockets``.

    wrk costs the least for small bodies; for large ones it reads 8 kB at a time and would be the limit, and
    one connection is timed best by a blocking loop.

    :param wanted: ``auto`` or the client's name.
    """
    if load.every:
        return "bursts"
    if wanted != "auto":
        return wanted
    large = load.body is not None and load.body.stat().st_size >= LARGE_BODY
    return "sockets" if large or load.connections == 1 or shutil.which("wrk") is None else "wrk"


def command(load: Load, client: str) -> list[str]:
    """The command line of a client."""
    if client == "wrk":
        url = f"http://127.0.0.1:{load.port}{load.path}"
        return [
            *("wrk", "-t1", f"-c{load.connections}", f"-d{load.seconds}s", "--timeout", "20s"),
            *("-s", str(SCRIPT), url, "--", load.method, str(load.body or ""), load.content_type),
            *(() if load.recorded is None else (str(load.recorded),)),
        ]
    if client == "bursts":
        return [
            *(sys.executable, "-m", "bench.bursts", "--port", str(load.port), "--path", load.path),
            *("--body", str(load.body), "--connections", str(load.connections)),
            *("--seconds", str(load.seconds), "--every", str(load.every)),
            *("--slow-every", str(load.slow_every)),
        ]
    line = [sys.executable, "-m", "bench.client", "--port", str(load.port), "--path", load.path]
    line += ["--method", load.method, "--connections", str(load.connections), "--seconds", str(load.seconds)]
    if load.body is not None:
        line += ["--body", str(load.body)]
        line += ["--content-type", load.content_type]
    if load.length is not None:
        line += ["--length", str(load.length)]
    return line


def put(load: Load, tree: Tree, wanted: str = "auto") -> Figures:
    """
    Put a load on a server and tell what came of it.

    :raises LoadFailed: the client failed.
    """
    client = choose(load, wanted)
    average = os.getloadavg()[0]
    own_before, before = children_cpu(), tree.cpu_seconds()
    environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
    try:
        ran = subprocess.run(
            command(load, client),
            capture_output=True,
            timeout=load.seconds + 60,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"{client} did not end") from error
    cpu, own_cpu = tree.cpu_seconds() - before, children_cpu() - own_before
    lines = ran.stdout.decode().strip().splitlines()
    if ran.returncode or not lines or not lines[-1].startswith("{"):
        raise LoadFailed(f"{client}: {ran.stderr.decode().strip() or ran.stdout.decode().strip()}")
    told = json.loads(lines[-1])
    return read(told, load, client, Spent(cpu, own_cpu, average))


def read(told: dict[str, object], load: Load, client: str, spent: Spent) -> Figures:
    """What a client printed, as figures; answers of another length than expected count as errors."""
    requests, seconds = int(str(told["requests"])), float(str(told["seconds"]))
    counted = told["errors"]
    assert isinstance(counted, dict)
    errors = {str(reason): int(count) for reason, count in counted.items() if count}
    # wrk counts refusals among its requests.
    right = requests - (errors.get("status", 0) if client == "wrk" else 0)
    # wrk cannot check lengths cheaply: all answers together must hold that many bodies.
    if client == "wrk" and load.length is not None and float(str(told["bytes"])) < load.length * requests:
        errors["length"] = requests
    return Figures(
        rate=right / seconds if seconds else 0.0,
        p50=float(str(told["p50"])),
        p99=float(str(told["p99"])),
        cpu=spent.server / requests if requests else 0.0,
        client_cpu=spent.client / seconds if seconds else 0.0,
        requests=right,
        errors=sum(errors.values()),
        first_error=next(iter(errors), ""),
        load=spent.average,
        client=client,
    )


def children_cpu() -> float:
    """CPU seconds of this process's children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
