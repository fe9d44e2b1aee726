"""What torchrun is told."""

from __future__ import annotations

from unittest import TestCase

from modelserver.backends.torchrun import torchrun_arguments
from modelserver.spec import WorkerSettings, WorkerSpec
from modelserver.testing.providers import make_spec
from modelserver.version_settings.values import Torchrun

SPEC = WorkerSpec(make_spec("big"), "29500")
SETTINGS = WorkerSettings(torchrun_logs="/logs/torchelastic_ts")


class TorchrunArgumentsTests(TestCase):
    """A version's ``torchrun`` map becomes options."""

    maxDiff = None

    def test_one_node(self) -> None:
        self.assertEqual(
            [
                "--nnodes=1",
                "--nproc-per-node=2",
                "--node-rank=0",
                "--rdzv-backend=c10d",
                "--rdzv-endpoint=127.0.0.1:0",
                "--rdzv-id=big_29500",
                "--monitor-interval=5",
                "--max-restarts=0",
                "--log-dir=/logs/torchelastic_ts",
                "--local-addr=127.0.0.1",
            ],
            torchrun_arguments(SPEC, Torchrun(2), SETTINGS),
        )

    def test_several_nodes(self) -> None:
        torchrun = Torchrun(4, 2, 1, "static", "a:1", "timeout=9", 0.5, "b", 7)
        self.assertEqual(
            [
                "--nnodes=2",
                "--nproc-per-node=4",
                "--node-rank=1",
                "--rdzv-backend=static",
                "--rdzv-endpoint=a:1",
                "--rdzv-conf=timeout=9",
                "--rdzv-id=big_29500",
                "--master-addr=b",
                "--master-port=7",
                "--monitor-interval=0.5",
                "--max-restarts=0",
                "--log-dir=/logs/torchelastic_ts",
            ],
            torchrun_arguments(SPEC, torchrun, SETTINGS),
        )
