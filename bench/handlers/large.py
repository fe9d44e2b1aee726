"""A model of 410 MB read from a file: shows what starting a worker costs, and what workers share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

LAYERS = 10
WIDTH = 3200
WEIGHTS = "large.pt"


def build() -> Any:
    """The empty network."""
    return torch.nn.Sequential(*[torch.nn.Linear(WIDTH, WIDTH) for _ in range(LAYERS)])


def write(folder: Path) -> Path:
    """Write the weights, from a fixed seed, once; returns the file."""
    path = folder / WEIGHTS
    if not path.exists():
        torch.manual_seed(7)
        torch.save(build().state_dict(), path)
    return path


class LargeModel:
    """Ten linear layers; answers with the sum of the outputs in hexadecimal, exact to the last bit."""

    def __init__(self) -> None:
        self.initialized = False

    def initialize(self, context: Any) -> None:
        """Load the weights of the model's folder on one thread."""
        torch.set_num_threads(1)
        with torch.device("meta"):
            self._network = build()
        path = Path(context.system_properties["model_dir"]) / WEIGHTS
        self._network.load_state_dict(torch.load(path, weights_only=True), assign=True)
        self._network.eval()
        self.initialized = True

    def handle(self, data: list[dict[str, Any]], context: object) -> list[str]:
        """The exact outcome for the seed in each body."""
        answers = []
        with torch.inference_mode():
            for row in data:
                body = row["body"]
                seed = int(body if isinstance(body, int) else bytes(body))
                inputs = torch.randn(1, WIDTH, generator=torch.Generator().manual_seed(seed))
                answers.append(float(self._network(inputs).double().sum()).hex())
        return answers


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
