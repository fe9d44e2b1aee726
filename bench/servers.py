"""The servers that are compared: this checkout, TorchServe, MMS, and a floor that serves nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from attrs import define, field

from bench.target import HOST, Deployment, Target

CHECKOUT = Path(__file__).resolve().parents[1]


def write_properties(path: Path, values: dict[str, object]) -> Path:
    """Write a properties file."""
    path.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
    return path


@define
class ModelServer(Target):
    """
    The server of this checkout, with default settings: metrics on, access log on.

    :param settings: properties on top of the addresses.
    :param options: further words for the command line, before the plugin's name.
    :param has_rpc: gRPC is served, too.
    :param variables: more of its environment.
    """

    settings: dict[str, object] = field(factory=dict)
    options: tuple[str, ...] = ()
    has_rpc: bool = False
    variables: dict[str, str] = field(factory=dict)

    def command(self) -> list[str]:
        """``twistd -n modelserver``, run by the interpreter that runs the bench."""
        config = write_properties(
            self.folder / "config.properties",
            {
                "inference_address": f"http://{HOST}:{self.port}",
                "management_address": f"http://{HOST}:{self.management_port}",
                "metrics_address": f"http://{HOST}:{self._further[0]}",
                "grpc_inference_port": self.rpc_port if self.has_rpc else -1,
                "grpc_management_port": self._further[2] if self.has_rpc else -1,
                "disable_token_authorization": "true",
                "enable_model_api": "true",
                "job_queue_size": 1000,
                **self.settings,
            },
        )
        start = "from twisted.scripts.twistd import run; run()"
        return [
            *(sys.executable, "-c", start, "-n", "--pidfile=", *self.options, "modelserver"),
            *("--model-store", str(self.store), "--ts-config", str(config)),
        ]

    def environment(self) -> dict[str, str]:
        """The checkout, and twistd's plugin in it, come first."""
        return {"PYTHONPATH": str(CHECKOUT), **self.variables}


@define
class TorchServe(Target):
    """
    TorchServe in an environment of its own: tokens off, model API on, no snapshots.

    :param limits: properties for bodies that its defaults refuse.
    """

    home: Path = field(kw_only=True)
    limits: dict[str, object] = field(factory=dict, kw_only=True)

    def command(self) -> list[str]:
        """``torchserve --foreground`` of the environment."""
        config = write_properties(
            self.folder / "config.properties",
            {
                "inference_address": f"http://{HOST}:{self.port}",
                "management_address": f"http://{HOST}:{self.management_port}",
                "metrics_address": f"http://{HOST}:{self._further[0]}",
                "grpc_inference_port": self.rpc_port,
                "grpc_management_port": self._further[2],
                "disable_token_authorization": "true",
                "enable_model_api": "true",
                "job_queue_size": 1000,
                **self.limits,
            },
        )
        return [
            *(str(self.home / "bin" / "torchserve"), "--start", "--foreground", "--ncs"),
            *("--model-store", str(self.store), "--ts-config", str(config)),
        ]

    def environment(self) -> dict[str, str]:
        """The environment's own interpreter comes first."""
        return in_environment(self.home)


@define
class MultiModelServer(Target):
    """
    Multi Model Server in an environment of its own.

    :param limits: properties for bodies that its defaults refuse.
    """

    home: Path = field(kw_only=True)
    limits: dict[str, object] = field(factory=dict, kw_only=True)
    shape = "mms"

    def command(self) -> list[str]:
        """``multi-model-server --foreground`` of the environment."""
        config = write_properties(
            self.folder / "config.properties",
            {
                "inference_address": f"http://{HOST}:{self.port}",
                "management_address": f"http://{HOST}:{self.management_port}",
                "job_queue_size": 1000,
                **self.limits,
            },
        )
        return [
            *(str(self.home / "bin" / "multi-model-server"), "--start", "--foreground"),
            *("--model-store", str(self.store), "--mms-config", str(config)),
        ]

    def environment(self) -> dict[str, str]:
        """The environment's own interpreter comes first."""
        return in_environment(self.home)

    def can_serve(self, handler: str) -> bool:
        """Torch handlers only where torch is installed beside MMS."""
        return handler not in ("cnn", "large") or any(self.home.glob("lib/python3*/site-packages/torch"))


@define
class Floor(Target):
    """An asyncio protocol that answers a constant: what a server in Python cannot go below here."""

    is_server = False

    def command(self) -> list[str]:
        """The floor server, on the one port."""
        return [sys.executable, "-m", "bench.floor", str(self.port)]

    def environment(self) -> dict[str, str]:
        """It is found in the checkout."""
        return {"PYTHONPATH": str(CHECKOUT)}

    def can_serve(self, handler: str) -> bool:
        """It computes nothing."""
        return handler in ("", "noop", "echo")

    def register(self, deployment: Deployment) -> float:
        """There is nothing to register."""
        return 0.0

    def scale(self, name: str, workers: int) -> float:
        """There are no workers."""
        return 0.0

    def unregister(self, name: str) -> float:
        """There is nothing to remove."""
        return 0.0


@define
class CopyingFloor(Floor):
    """The floor of large bodies: an echo that copies each as often as a server with workers must."""

    def command(self) -> list[str]:
        """The floor server, told to copy."""
        return [*super().command(), "--copies"]

    def can_serve(self, handler: str) -> bool:
        """It echoes."""
        return handler == "echo"


def in_environment(home: Path) -> dict[str, str]:
    """The variables of an activated virtual environment."""
    return {
        "PATH": f"{home / 'bin'}:{os.environ.get('PATH', '')}",
        "VIRTUAL_ENV": str(home),
        "PYTHONPATH": "",
    }
