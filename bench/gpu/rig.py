"""A server on the GPU, what is asked of it, and how a check fails."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from attrs import define, field

from bench.gpu.device import Device
from bench.servers import ModelServer
from bench.target import Deployment, call

SECONDS = 30.0
"""How long a request, or what has to come about, may take."""
HANDLER = "gpu"


class CheckFailed(Exception):
    """What should be so is not."""


class NotTold(Exception):
    """It cannot be told on this machine whether it is so."""


@define
class GpuServer(ModelServer):
    """
    A server that sees one device.

    :param visible: its ``CUDA_VISIBLE_DEVICES``.
    """

    visible: str = "0"
    _models: set[str] = field(factory=set, init=False)

    def environment(self) -> dict[str, str]:
        """The checkout, and the one device."""
        return {**ModelServer.environment(self), "CUDA_VISIBLE_DEVICES": self.visible}

    @property
    def models(self) -> frozenset[str]:
        """Those that were registered."""
        return frozenset(self._models)

    def have(self, model: str, workers: int = 1) -> None:
        """Register a model that is not there yet."""
        if model not in self._models:
            self.register(Deployment(model, HANDLER, workers=workers))
            self._models.add(model)

    def ask(self, model: str, text: str) -> tuple[int, str]:
        """Ask a model once; status 0: nobody answered in time."""
        code, body = call(self.port, "POST", f"/predictions/{model}", SECONDS, text.encode())
        return code, body.decode(errors="replace")

    def who(self, model: str) -> tuple[int, str]:
        """
        Return the process id and the device's UUID of a worker.

        :raises CheckFailed: it does not answer.
        """
        code, text = self.ask(model, "who")
        require(code == 200, f"{model} answered {code}: {text}")
        told = json.loads(text)
        return int(told["pid"]), str(told["uuid"])


@define
class Rig:
    """What the checks use: the server that they share, the device, and a folder for further servers."""

    server: GpuServer
    device: Device
    folder: Path


def require(is_so: bool, otherwise: str) -> None:
    """
    Go on if it is so.

    :raises CheckFailed: it is not.
    """
    if not is_so:
        raise CheckFailed(otherwise)


def wait_until(is_so: Callable[[], bool], otherwise: str, seconds: float = SECONDS) -> float:
    """
    Return after how many seconds it was so.

    :raises CheckFailed: it was not, in all that time.
    """
    begun = time.monotonic()
    while time.monotonic() - begun < seconds:
        if is_so():
            return time.monotonic() - begun
        time.sleep(0.05)
    raise CheckFailed(f"{otherwise} within {seconds:.0f} s")


def make_server(folder: Path, visible: str = "0") -> GpuServer:
    """Return a server, not started, that samples its device each second."""
    settings: dict[str, object] = {"metrics_mode": "prometheus", "metric_time_interval": 1}
    return GpuServer("modelserver", folder, settings=settings, visible=visible)
