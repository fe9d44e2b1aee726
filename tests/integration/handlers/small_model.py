"""A small residual network, as an archive's model file has it: one class."""

import torch
from torch import nn


def layer(width, out, stride):
    return nn.Sequential(
        nn.Conv2d(width, out, 3, stride, 1, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
        nn.Conv2d(out, out, 3, 1, 1, bias=False),
        nn.BatchNorm2d(out),
    )


class SmallResidualNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, 4, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.first, self.around_first = layer(16, 32, 2), nn.Conv2d(16, 32, 1, 2, bias=False)
        self.second, self.around_second = layer(32, 64, 2), nn.Conv2d(32, 64, 1, 2, bias=False)
        self.classes = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = torch.relu(self.first(x) + self.around_first(x))
        x = torch.relu(self.second(x) + self.around_second(x))
        return self.classes(x.mean((2, 3)))
