"""Names of the program that TorchServe's Java server runs as a worker, and what its environment tells it."""

import os

from modelserver.compat.borrowed import borrowed
from modelserver.compat.not_here import OnlyThere

__all__ = [
    "BENCHMARK",
    "DEBUG",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MAX_FAILURE_THRESHOLD",
    "SOCKET_ACCEPT_TIMEOUT",
    "WORLD_RANK",
    "WORLD_SIZE",
    "TorchModelServiceWorker",
]

MAX_FAILURE_THRESHOLD = 5
SOCKET_ACCEPT_TIMEOUT = 30.0
DEBUG = False
BENCHMARK = os.environ.get("TS_BENCHMARK") in ("True", "true", "TRUE")
LOCAL_RANK, WORLD_SIZE, WORLD_RANK, LOCAL_WORLD_SIZE = (
    int(os.environ.get(name) or 0) for name in ("LOCAL_RANK", "WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE")
)


class TorchModelServiceWorker(OnlyThere):
    """Takes the batches of the Java server from a socket."""


__getattr__ = borrowed(__name__)
