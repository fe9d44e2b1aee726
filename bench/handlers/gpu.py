"""Does on its GPU what the body says: adds up, breaks the device's context, keeps memory, tells who it is."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import Any

import torch

CHUNKS = (64 << 20, 2 << 20, 4 << 10)
"""Bytes: large ones first, then what torch takes from the driver at least, then what it cuts from that."""
SHARE = 0.05
"""Of the device's memory that the process may take before it counts as full: others need the rest."""


class GpuModel:
    """
    Answers ``add``, ``who``, ``assert``, ``fill`` and ``hold BYTES``.

    Once it was told to fill its memory, each request needs more than is left.
    """

    def __init__(self) -> None:
        self._kept: list[torch.Tensor] = []
        self._is_full = False
        self._device = torch.device("cpu")

    def initialize(self, context: Any) -> None:
        """
        Take the device that the server names.

        :raises RuntimeError: it names none.
        """
        gpu = context.system_properties.get("gpu_id")
        if gpu is None:
            raise RuntimeError("the server has given this worker no GPU")
        self.place(torch.device("cuda", int(gpu)))

    def place(self, device: torch.device) -> None:
        """Put the model on a device."""
        self._device = device
        self._ones = torch.ones(1024, device=device)
        self._table = torch.nn.Embedding(8, 8).to(device)

    def handle(self, data: list[dict[str, Any]], context: object) -> list[str]:
        """Answer each request."""
        return [self.answer(bytes(row["body"]).decode()) for row in data]

    def answer(self, text: str) -> str:
        """Do what one body says."""
        word, _, rest = text.partition(" ")
        if word == "assert":
            self._table(torch.tensor([9], device=self._device))
            torch.cuda.synchronize(self._device)
        if word == "hold":
            self._kept.append(torch.empty(int(rest), dtype=torch.uint8, device=self._device))
        if word == "fill" or self._is_full:
            self._fill()
        if word == "who":
            properties = torch.cuda.get_device_properties(self._device)
            return json.dumps({"pid": os.getpid(), "uuid": str(properties.uuid)})
        return str(int(self._ones.sum().item()))

    def _fill(self) -> None:
        if not self._is_full:
            torch.cuda.set_per_process_memory_fraction(SHARE, self._device)
            self._is_full = True
        for size in CHUNKS[:-1]:
            with contextlib.suppress(torch.OutOfMemoryError):
                self._keep_all(size)
        self._keep_all(CHUNKS[-1])

    def _keep_all(self, size: int) -> None:
        while True:
            self._kept.append(torch.empty(size, dtype=torch.uint8, device=self._device))


def loop(seconds: float) -> float:
    """Return how many times a second one process adds up without any server."""
    model = GpuModel()
    model.place(torch.device("cuda", 0))
    model.answer("add")
    count, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        model.answer("add")
        count += 1
    return count / (time.perf_counter() - begun)


if __name__ == "__main__":
    print(loop(float(sys.argv[1])))
