"""ResNet-18 as "Deep Residual Learning for Image Recognition" (2015) describes it, for 1000 classes."""

import torch
from torch import nn


class BasicBlock(nn.Module):
    """Two convolutions of 3 x 3, and a way around them."""

    def __init__(self, width, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = nn.Identity()
        if stride != 1 or width != out:
            self.downsample = nn.Sequential(nn.Conv2d(width, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        straight = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(straight)) + self.downsample(x))


class ResNet18(nn.Module):
    """Four stages of two blocks each, 64 to 512 channels wide."""

    def __init__(self, classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        widths = (64, 64, 128, 256, 512)
        for stage in (1, 2, 3, 4):
            width, out = widths[stage - 1 : stage + 1]
            blocks = BasicBlock(width, out, 1 if stage == 1 else 2), BasicBlock(out, out, 1)
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))
