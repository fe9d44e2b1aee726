"""Twelve linear layers of 2048: some milliseconds a call, seconds until torch.compile has compiled them."""

from __future__ import annotations

import torch

LAYERS = 12
WIDTH = 2048


class Layers(torch.nn.Module):
    """The network, from a fixed seed; the last layer has eight outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        hidden = [layer for _ in range(LAYERS) for layer in (torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU())]
        self.layers = torch.nn.Sequential(*hidden, torch.nn.Linear(WIDTH, 8))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the outputs of all rows."""
        outputs: torch.Tensor = self.layers(rows)
        return outputs
