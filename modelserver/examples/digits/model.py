"""The network that reads a digit: two convolutions and two linear layers, about ten thousand weights."""

from __future__ import annotations

import torch
from torch import nn

SIDE = 8
"""Height and width of a picture of a digit, in pixels."""

CLASSES = 10


class DigitNetwork(nn.Module):
    """Pictures in, a score for each digit out: (N, 1, 8, 8) becomes (N, 10)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.scores = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(16 * (SIDE // 2) ** 2, 32),
            nn.ReLU(),
            nn.Linear(32, CLASSES),
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Score every picture; the digit is the position of the largest score."""
        scores: torch.Tensor = self.scores(self.features(pictures))
        return scores
