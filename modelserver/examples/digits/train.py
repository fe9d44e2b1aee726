"""
Trains the network on scikit-learn's digits, and writes the weights and the sample pictures beside this file.

Run it with ``python -m modelserver.examples.digits.train`` after ``pip install '.[train]'``. It takes less
than a minute on one core and gives the same weights each time. A quarter of the digits is held out: the
accuracy that is printed, and the samples, come from there.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn import functional

from modelserver.examples.digits.handler import normalise, to_tensor
from modelserver.examples.digits.model import CLASSES, SIDE, DigitNetwork
from modelserver.language.attributes import frozen

HERE = Path(__file__).parent
SEED = 2
EPOCHS = 60
BATCH = 64
SAMPLE_SIDE = 64
BRIGHTEST = 16
GOOD_ENOUGH = 0.97


@frozen
class Split:
    """The digits to learn from and the ones held out, as pictures with what they show."""

    pictures: list[Image.Image]
    labels: list[int]
    held_out_pictures: list[Image.Image]
    held_out_labels: list[int]


def split_digits() -> Split:
    """Three quarters to learn from and one held out, with the same share of each digit in both."""
    digits = load_digits()
    images, labels = digits.images.tolist(), digits.target.tolist()
    parts = train_test_split(images, labels, test_size=0.25, random_state=SEED, stratify=labels)
    return Split(
        [_picture(image) for image in parts[0]], parts[2], [_picture(image) for image in parts[1]], parts[3]
    )


def _picture(image: list[list[float]]) -> Image.Image:
    """A digit of the data set, 8 x 8 values from 0 to 16, as a picture that a person can see."""
    pixels = bytes(round(value * 255 / BRIGHTEST) for row in image for value in row)
    small = Image.frombytes("L", (SIDE, SIDE), pixels)
    return small.resize((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.NEAREST)


def moved(pictures: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The same digits a little turned, sheared, scaled and shifted, each one differently."""
    count = len(pictures)
    straight = torch.eye(2, 3).repeat(count, 1, 1)
    change = torch.randn(count, 2, 3, generator=generator) * torch.tensor([0.08, 0.08, 0.06])
    grid = functional.affine_grid(straight + change, list(pictures.shape), align_corners=False)
    return functional.grid_sample(pictures, grid, align_corners=False)


def train(pictures: torch.Tensor, labels: torch.Tensor) -> DigitNetwork:
    """A network that has learned these digits."""
    generator = torch.Generator().manual_seed(SEED)
    torch.manual_seed(SEED)
    network = DigitNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(labels), generator=generator).split(BATCH):
            scores = network(moved(pictures[chosen], generator))
            loss = functional.cross_entropy(scores, labels[chosen], label_smoothing=0.02)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def accuracy(network: DigitNetwork, pictures: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of pictures that are read right."""
    with torch.inference_mode():
        right = network(pictures).argmax(dim=1) == labels
    return float(right.float().mean())


def save(network: DigitNetwork) -> None:
    """Write ``digits.pt`` (TorchScript) and ``digits_state.pt`` (a state dict for ``model.py``)."""
    torch.jit.script(network).save(str(HERE / "digits.pt"))
    torch.save(network.state_dict(), HERE / "digits_state.pt")


def save_samples(split: Split) -> None:
    """
    Write the first two held-out pictures of each digit.

    ``3-1.png`` is white on black, ``3-2.png`` black on white. They are taken in order, not chosen.
    """
    for digit in range(CLASSES):
        positions = [index for index, label in enumerate(split.held_out_labels) if label == digit]
        first, second = (split.held_out_pictures[position] for position in positions[:2])
        first.save(HERE / "samples" / f"{digit}-1.png", optimize=True)
        ImageOps.invert(second).save(HERE / "samples" / f"{digit}-2.png", optimize=True)


def main() -> int:
    """Train, check, and write everything; nothing is written when the network is not good enough."""
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    split = split_digits()
    network = train(to_tensor([normalise(picture) for picture in split.pictures]), torch.tensor(split.labels))
    held_out = to_tensor([normalise(picture) for picture in split.held_out_pictures])
    reached = accuracy(network, held_out, torch.tensor(split.held_out_labels))
    print(f"accuracy on {len(held_out)} held-out digits: {reached:.4f}")
    if reached <= GOOD_ENOUGH:
        print(f"not above {GOOD_ENOUGH}: nothing was written", file=sys.stderr)
        return 1
    save(network)
    save_samples(split)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
