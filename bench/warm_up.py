"""
``python -m bench.warm_up``: what the first request to a compiled model takes, beside the tenth.

A model that torch.compile compiles is served by the built-in handler, with ``warmup`` in its
``model-config.yaml`` and, in every fourth turn, without. Each start is a registration with a worker of its
own, which is asked ten times over one connection that has served before, after the same pause each time: a
request that finds the machine idle takes longer than one that comes on the heels of another, be it the first
of a worker or the hundredth (``--pause 0`` shows by how much). The compiler keeps its caches in the folder of
the run: the very first start fills them.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlencode

import attrs
from attrs import define, frozen
from rich.console import Console

from bench.archives import HANDLERS, manifest
from bench.selection import add_arguments, own_server
from bench.servers import ModelServer
from bench.sheet import Sheet, describe_machine, milliseconds, write_json, write_markdown
from bench.target import HOST, TargetFailed, call

REQUESTS = 10
PAUSE = 0.05
"""Seconds before each request, the first one as well: server, worker and threads have gone idle by then."""
COLD_EVERY = 4
"""One start without a warm-up for so many with: its first request is far from the limit."""
MOST = 1.2
"""How many times the tenth request the first one may take, where the model was warmed up."""
REGISTER_SECONDS = 140
EXAMPLE = "example.json"
WIDTH = 2048
COMPILE: dict[str, object] = {"pt2": {"compile": {"enable": True, "backend": "inductor"}}}
WARM = "warmup"
WAYS: dict[str, dict[str, object]] = {
    WARM: {**COMPILE, "warmup": {"file": EXAMPLE, "batchSizes": [1]}},
    "no warmup": COMPILE,
}
"""The model's configuration, by the name that a table shows."""


@define
class Compiling(ModelServer):
    """A server whose workers keep what they compile in its folder."""

    def environment(self) -> dict[str, str]:
        """The checkout, and the compiler's caches."""
        caches = {"TORCHINDUCTOR_CACHE_DIR": str(self.folder / "compiled")}
        return {**ModelServer.environment(self), **caches}


@frozen
class Start:
    """
    One start of a worker.

    :param register: seconds until it was ready.
    :param requests: seconds of each request, in their order.
    """

    way: str
    register: float
    requests: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """How many times the last request the first one took."""
        return self.requests[0] / self.requests[-1]


def example() -> bytes:
    """Return the body of a request: one row."""
    return json.dumps([0.5] * WIDTH).encode()


def write_archive(store: Path, name: str, config: dict[str, object]) -> Path:
    """Write the model as a folder of the store: the network, its configuration, an example."""
    folder = store / name
    (folder / "MAR-INF").mkdir(parents=True)
    told = manifest(name, "torchserve")
    told["model"] = {
        **{"modelName": name, "modelVersion": "1.0", "handler": "base_handler"},
        **{"modelFile": "layers.py", "configFile": "model-config.yaml"},
    }
    (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(told, indent=2))
    (folder / "model-config.yaml").write_text(json.dumps(config))  # JSON is YAML, too
    (folder / EXAMPLE).write_bytes(example())
    (folder / "layers.py").write_bytes((HANDLERS / "layers.py").read_bytes())
    return folder


def measure(server: ModelServer, way: str, folder: str, pause: float) -> Start:
    """
    Start a worker, ask it, and end it.

    :raises TargetFailed: the model was refused, or a request was.
    """
    query = {
        **{"url": folder, "model_name": folder, "initial_workers": "1", "synchronous": "true"},
        "response_timeout": str(REGISTER_SECONDS),
    }
    begun = time.monotonic()
    code, text = call(server.management_port, "POST", f"/models?{urlencode(query)}", REGISTER_SECONDS)
    register = time.monotonic() - begun
    if code != 200:
        raise TargetFailed(f"{way}: registered with {code}: {text.decode(errors='replace')}")
    try:
        return Start(way, register, tuple(ask(server.port, f"/predictions/{folder}", pause)))
    finally:
        server.unregister(folder)


def ask(port: int, path: str, pause: float) -> Iterator[float]:
    """
    Ask ten times over one connection, on which the server has answered something else before.

    :param pause: seconds before each request.
    :returns: the seconds of each.
    :raises TargetFailed: an answer had another status than 200.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=REGISTER_SECONDS)
    body, headers = example(), {"Content-Type": "application/json"}
    try:
        timed(connection, "GET", "/ping")
        for _ in range(REQUESTS):
            time.sleep(pause)
            yield timed(connection, "POST", path, body, headers)
    finally:
        connection.close()


def timed(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> float:
    """
    Ask once.

    :returns: the seconds until the answer was read.
    :raises TargetFailed: it had another status than 200.
    """
    begun = time.monotonic()
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise TargetFailed(f"{path} answered {answer.status}: {text.decode(errors='replace')}")
    return time.monotonic() - begun


def median_ratio(starts: Sequence[Start], way: str) -> float:
    """Return the median, over the starts of one way, of the first request beside the tenth."""
    return statistics.median(each.ratio for each in starts if each.way == way)


def sheet(starts: Sequence[Start]) -> Sheet:
    """Return the table: medians over the starts of each way."""
    rows = []
    for way in dict.fromkeys(each.way for each in starts):
        mine = [each for each in starts if each.way == way]
        ratios = sorted(each.ratio for each in mine)
        rows.append(
            (
                *(way, str(len(mine)), f"{statistics.median(each.register for each in mine):.2f}"),
                *(milliseconds(statistics.median(each.requests[at] for each in mine)) for at in (0, 1, -1)),
                *(f"{median_ratio(starts, way):.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}"),
            )
        )
    columns = (
        *("model-config.yaml", "starts", "register s", "first ms", "second ms", "tenth ms"),
        *("first / tenth", "from to"),
    )
    return Sheet("First request to a compiled model", columns, tuple(rows))


def run(server: ModelServer, rounds: int, pause: float) -> list[Start]:
    """Start so often with a warm-up, and a few times without, in turn."""
    folders = {way: f"layers-{number}" for number, way in enumerate(WAYS)}
    server.store.mkdir(parents=True)
    for way, config in WAYS.items():
        write_archive(server.store, folders[way], config)
    server.start()
    try:
        return [
            measure(server, way, folders[way], pause)
            for number in range(rounds)
            for way in WAYS
            if way == WARM or number % COLD_EVERY == 0
        ]
    finally:
        server.stop()


def main() -> None:
    """Compare first requests with and without a warm-up; fail where it does not do what it is for."""
    parser = argparse.ArgumentParser(prog="python -m bench.warm_up", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="starts with a warm-up; medians are shown")
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds before each request")
    add_arguments(parser)
    options = parser.parse_args()
    console = Console(width=160)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder:
        own = own_server(options, Path(folder))
        server = Compiling(own.name, own.folder, settings=own.settings, options=own.options)
        starts = run(server, options.rounds, options.pause)
    shown = sheet(starts)
    shown.show(console)
    if options.json:
        write_json(options.json, {"warm_up": [attrs.asdict(each) for each in starts]})
    if options.markdown:
        write_markdown(options.markdown, [shown])
    is_warm = median_ratio(starts, WARM) <= MOST
    console.print(
        f"with warmup, the first takes at most {MOST} times the tenth: {'yes' if is_warm else 'NO'}"
    )
    sys.exit(0 if is_warm else 1)


if __name__ == "__main__":
    main()
