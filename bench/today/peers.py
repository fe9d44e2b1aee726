"""The servers of today: how each is started for a handler, and how it is asked."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from attrs import define, field, frozen

from bench.servers import CHECKOUT, in_environment
from bench.target import HOST, Deployment, Target, TargetFailed
from bench.today.formats import JSON_ARRAY, JSON_STRING, OPEN_INFERENCE, RAW, UNKNOWN, Format

SERVERS = "bench.today.servers"


def program(name: str) -> Callable[[PeerServer], list[str]]:
    """Return what makes the command line of a server that is a program of ours."""

    def command(server: PeerServer) -> list[str]:
        job = server.deployment
        return [
            *(str(server.home / "bin" / "python"), "-m", f"{SERVERS}.{name}", "--port", str(server.port)),
            *("--handler", job.handler, "--batch-size", str(job.batch_size)),
            *("--delay-ms", str(round(job.max_batch_delay * 1000))),
        ]

    return command


def _mosec(server: PeerServer) -> list[str]:
    own = ("--address", HOST, "--log-level", "warning", "--timeout", "60000")
    return [*program("on_mosec")(server), *own]


def _mosec_batches(server: PeerServer) -> list[str]:
    """With batches where the case has none: later words replace earlier ones."""
    return [*_mosec(server), "--batch-size", "32", "--delay-ms", "1"]


def _kserve(server: PeerServer) -> list[str]:
    return [
        *program("on_kserve")(server),
        *("--workers", "1", "--enable_grpc", "False"),
        *("--enable_latency_logging", "False", "--configure_logging", "False"),
    ]


def _bentoml(server: PeerServer) -> list[str]:
    service = "Batched" if server.deployment.batch_size > 1 else "Single"
    return [
        *(str(server.home / "bin" / "bentoml"), "serve", f"{SERVERS}.on_bentoml:{service}"),
        *("--host", HOST, "--port", str(server.port)),
    ]


def _mlserver(server: PeerServer) -> list[str]:
    job, folder = server.deployment, server.folder / "repository"
    folder.mkdir(exist_ok=True)
    settings = {
        "debug": False,
        "parallel_workers": 0,
        "host": HOST,
        "http_port": server.port,
        "grpc_port": server.management_port,
        "metrics_endpoint": None,
        "gzip_enabled": False,
    }
    model: dict[str, object] = {"name": "bench", "implementation": f"{SERVERS}.on_mlserver.Handler"}
    if job.batch_size > 1:
        model |= {"max_batch_size": job.batch_size, "max_batch_time": job.max_batch_delay}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(server.home / "bin" / "mlserver"), "start", str(folder)]


@frozen
class Peer:
    """
    A server of today.

    :param key: the name of its environment's folder, and of its distribution.
    :param settings: what was chosen for it, in words.
    :param path: of a prediction.
    :param batched: the format of requests that it puts into batches, if that is another.
    :param distribution: if its name is not the key.
    :param is_for_single: it takes part only where a case has no batches.
    """

    key: str
    name: str
    settings: str
    command: Callable[[PeerServer], list[str]]
    path: str = "/predict"
    alone: Format = RAW
    batched: Format | None = None
    distribution: str = ""
    environment: Mapping[str, str] = field(factory=dict)
    is_for_single: bool = False

    def format_of(self, batch_size: int) -> Format:
        """Return how bytes travel where there are batches of so many."""
        return self.batched if self.batched is not None and batch_size > 1 else self.alone

    def version(self, home: Path) -> str:
        """Return the version that is installed; empty where none is."""
        name = self.distribution or self.key
        found = sorted(home.glob(f"lib/python3*/site-packages/{name}-*.dist-info"))
        return found[0].name.removesuffix(".dist-info").partition("-")[2] if found else ""


PEERS = (
    Peer("mosec", "mosec", "front in Rust, one worker", _mosec, "/inference"),
    Peer(
        "mosec",
        "mosec, batching",
        "the same, batches of up to 32 within 1 ms where others have none",
        _mosec_batches,
        "/inference",
        is_for_single=True,
    ),
    Peer(
        "litserve",
        "LitServe",
        "fast_queue, one API server on uvloop and httptools, one worker, no access log",
        program("on_litserve"),
    ),
    Peer(
        "bentoml",
        "BentoML",
        "workers=1 on uvloop and httptools, no access log, adaptive batching",
        _bentoml,
        alone=JSON_STRING,
        batched=JSON_ARRAY,
    ),
    Peer(
        "rayserve",
        "Ray Serve",
        "HAProxy, RAY_SERVE_THROUGHPUT_OPTIMIZED=1, one replica, no access log, serve.batch",
        program("on_rayserve"),
        path="/",
        distribution="ray",
        environment={"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"},
    ),
    Peer(
        "kserve",
        "KServe",
        "Python server, workers=1 on uvloop and httptools, no gRPC, no logs; has no batches",
        _kserve,
        path="/v1/models/bench:predict",
        alone=UNKNOWN,
    ),
    Peer(
        "mlserver",
        "MLServer",
        "parallel_workers=0 on uvloop and httptools, no metrics, no gzip, adaptive batching",
        _mlserver,
        path="/v2/models/bench/infer",
        alone=OPEN_INFERENCE,
    ),
)


@define
class PeerServer(Target):
    """
    A peer that serves one handler, from its start to its end.

    :param home: its virtual environment.
    :param body: of a request, as bytes that the handler gets.
    """

    peer: Peer = field(kw_only=True)
    home: Path = field(kw_only=True)
    deployment: Deployment = field(kw_only=True)
    body: bytes = field(kw_only=True)
    answer: bytes = field(init=False, default=b"")
    """What the handler has answered; with the answer's bytes as they travel, in ``raw``."""
    raw: bytes = field(init=False, default=b"")

    @property
    def format(self) -> Format:
        """How its bytes travel."""
        return self.peer.format_of(self.deployment.batch_size)

    def command(self) -> list[str]:
        """Its own program, or one of ours that runs in its environment."""
        return self.peer.command(self)

    def environment(self) -> dict[str, str]:
        """Its environment comes first; the handlers are found in the checkout."""
        job = self.deployment
        return {
            **in_environment(self.home),
            "PYTHONPATH": str(CHECKOUT),
            "BENCH_HANDLER": job.handler,
            "BENCH_BATCH_SIZE": str(job.batch_size),
            **self.peer.environment,
        }

    def is_up(self) -> bool:
        """Whether it answers a request of the case; the answer is kept."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10.0)
        headers = {"Content-Type": self.format.content_type}
        try:
            connection.request("POST", self.peer.path, self.format.encode(self.body), headers)
            found = connection.getresponse()
            self.raw = found.read()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        if found.status != 200:
            return False
        self.answer = self.format.decode(self.raw)
        return True

    def can_serve(self, handler: str) -> bool:
        """Torch handlers only where torch is installed."""
        if self.peer.is_for_single and self.deployment.batch_size > 1:
            return False
        return handler != "cnn" or any(self.home.glob("lib/python3*/site-packages/torch"))

    def register(self, deployment: Deployment) -> float:
        """Refuse: it serves what it was made for."""
        raise TargetFailed(f"{self.name} serves {self.deployment.handler}")


def find_home(root: Path, peer: Peer) -> Path | None:
    """Return a peer's environment in a folder of environments; None where it is not installed."""
    home = Path(os.path.abspath(root / peer.key))
    return home if peer.version(home) else None
