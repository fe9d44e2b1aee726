"""
``python -m bench.many_models``: more models than fit into memory, asked for by a Zipf law.

Twenty models of 150 MB each, of which the budget holds six: how requests fare, what the workers take at most
(PSS of their processes), and whether each load is accounted for: it is in memory at the end, or had to leave.
Then the same models all loaded, as the peers have them, for what that takes.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

from attrs import define, field

from bench.archives import pack
from bench.client import percentile
from bench.processes import memory
from bench.servers import ModelServer
from bench.target import HOST, call

MODEL = 150_000_000
MEGABYTE = 1_000_000
_SAMPLE = re.compile(rb"^(modelserver_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@define
class Answers:
    """What clients got, by status; 0: nobody answered."""

    codes: Counter[int] = field(factory=Counter)
    seconds: list[float] = field(factory=list)
    first_error: bytes = b""


@define
class Watch:
    """Samples what all workers take together."""

    server: ModelServer
    largest: int = 0
    _is_over: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(0.2):
            self.largest = max(self.largest, workers_memory(self.server))

    def stop(self) -> None:
        """End."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()


def workers_memory(server: ModelServer) -> int:
    """Return the proportional bytes of all processes but the server's own."""
    _, *others = server.tree.members()
    return memory(others).pss


def zipf(count: int, exponent: float) -> Sequence[float]:
    """Return the sums of the shares that the models have, the most popular one first."""
    return list(accumulate(1 / rank**exponent for rank in range(1, count + 1)))


def ask(server: ModelServer, options: argparse.Namespace, until: float, seed: int, into: Answers) -> None:
    """Be one client: ask, wait for the answer, ask again."""
    choose, shares = random.Random(seed), zipf(options.models, options.exponent)
    headers = {"x-request-timeout-ms": str(options.timeout * 1000)}
    while time.monotonic() < until:
        (rank,) = choose.choices(range(options.models), cum_weights=shares)
        begun = time.monotonic()
        connection = http.client.HTTPConnection(HOST, server.port, timeout=options.timeout + 30)
        try:
            connection.request("POST", f"/predictions/m{rank:02}", b"x", headers)
            answer = connection.getresponse()
            body, code = answer.read(), answer.status
        except (OSError, http.client.HTTPException) as error:
            body, code = repr(error).encode(), 0
        finally:
            connection.close()
        into.codes[code] += 1
        into.seconds.append(time.monotonic() - begun)
        if code != 200 and not into.first_error:
            into.first_error = body
        time.sleep(options.pause)


def counted(server: ModelServer) -> dict[str, float]:
    """Return what the server's metrics say of models that come and go, summed over models."""
    found: dict[str, float] = {}
    for name, labels, value in _SAMPLE.findall(call(server.metrics_port, "GET", "/metrics")[1]):
        outcome = re.search(rb'outcome="(\w+)"', labels)
        key = name.decode() + ("" if outcome is None else f" {outcome[1].decode()}")
        found[key] = found.get(key, 0.0) + float(value)
    return found


def states(server: ModelServer) -> list[str]:
    """Return where each model is that is known by now."""
    code, body = call(server.management_port, "GET", "/models")
    return [model["loadState"] for model in json.loads(body)["models"]] if code == 200 else []


def make_server(folder: Path, models: int, settings: dict[str, object]) -> ModelServer:
    """Return a server, not started, whose store has the models."""
    server = ModelServer("modelserver", folder, settings={"load_models": "all", **settings})
    server.store.mkdir(parents=True)
    archive = pack("hoard", server.store, "torchserve")
    for rank in range(models):
        shutil.copy(archive, server.store / f"m{rank:02}.mar")
    archive.unlink()
    names = ",".join(f"m{rank:02}=m{rank:02}.mar" for rank in range(models))
    server.settings["load_models"] = names
    return server


def run(server: ModelServer, options: argparse.Namespace) -> tuple[Answers, int]:
    """Let clients ask for so long; return what they got, and the most that workers took."""
    answers, watch = [Answers() for _ in range(options.clients)], Watch(server)
    until = time.monotonic() + options.seconds
    clients = [
        threading.Thread(target=ask, args=(server, options, until, seed, each))
        for seed, each in enumerate(answers)
    ]
    watch.start()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    watch.stop()
    whole = Answers()
    for each in answers:
        whole.codes.update(each.codes)
        whole.seconds += each.seconds
        whole.first_error = whole.first_error or each.first_error
    return whole, watch.largest


def with_budget(folder: Path, options: argparse.Namespace) -> bool:
    """Run under a budget, tell of it, and return whether all is as it should be."""
    settings = {
        "load": "on_request",
        "model_memory_limit": options.budget,
        "memory_shortage": "wait",
        "metrics_mode": "prometheus",
    }
    server = make_server(folder, options.models, settings)
    server.start()
    try:
        while len(states(server)) < options.models:
            time.sleep(0.1)
        answers, largest = run(server, options)
        time.sleep(2)
        numbers, present = counted(server), states(server).count("loaded")
    finally:
        server.stop()
    seconds = sorted(answers.seconds)
    loads = numbers.get("modelserver_model_loads_total loaded", 0.0)
    evictions = numbers.get("modelserver_model_evictions_total", 0.0)
    limit = numbers["modelserver_memory_limit_bytes"]
    print(f"answers by status {dict(sorted(answers.codes.items()))}, first other {answers.first_error!r}")
    p50, p90, most = percentile(seconds, 0.5), percentile(seconds, 0.9), seconds[-1]
    print(f"p50 {p50:.3f} s, p90 {p90:.3f} s, most {most:.3f} s")
    print(f"{loads:.0f} loads, {evictions:.0f} evictions, {present} in memory at the end")
    print(f"workers took {largest / MEGABYTE:.0f} MB at most, of {limit / MEGABYTE:.0f} MB")
    is_bounded = largest <= limit + 1.2 * MODEL
    is_counted = loads == evictions + present
    others = set(answers.codes) - {200, 408, 504}
    print(f"bounded: {is_bounded}, counted: {is_counted}, errors beside the own deadline: {sorted(others)}")
    return is_bounded and is_counted and not others


def all_loaded(folder: Path, models: int) -> None:
    """Load all models, as the peers do, and tell what that takes."""
    server = make_server(folder, models, {"default_workers_per_model": 1})
    server.start()
    try:
        while (
            sum(call(server.port, "POST", f"/predictions/m{rank:02}")[0] == 200 for rank in range(models))
            < models
        ):
            time.sleep(1)
        print(f"all loaded: {workers_memory(server) / MEGABYTE:.0f} MB")
    finally:
        server.stop()


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.many_models", description=__doc__)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--budget", default="1000000000")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--exponent", type=float, default=1.0)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between a client's requests")
    parser.add_argument("--timeout", type=int, default=20, help="seconds that a request may take")
    parser.add_argument("--without-all", action="store_true", help="do not load all models at the end")
    return parser.parse_args(arguments)


def main() -> None:
    """Run both."""
    options = parse()
    with tempfile.TemporaryDirectory() as folder:
        is_well = with_budget(Path(folder, "budget"), options)
        if not options.without_all:
            all_loaded(Path(folder, "all"), options.models)
    sys.exit(0 if is_well else 1)


if __name__ == "__main__":
    main()
