"""A small convolutional network over 32 x 32 images, on one thread: a few milliseconds of real work."""

from __future__ import annotations

from typing import Any

IMAGE_BYTES = 3 * 32 * 32 * 4


class Classifier:
    """The network, built once for each worker from a fixed seed."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        torch.manual_seed(7)
        nn = torch.nn
        self._torch = torch
        self._network = nn.Sequential(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(128, 10),
        ).eval()

    def classify(self, bodies: list[Any]) -> list[str]:
        """The most likely class of each image (float32, channels first, raw bytes)."""
        torch = self._torch
        with torch.inference_mode():
            pixels = torch.frombuffer(bytearray(b"".join(bodies)), dtype=torch.float32)
            scores = self._network(pixels.view(len(bodies), 3, 32, 32))
            return [str(best) for best in scores.argmax(1).tolist()]


_loaded: list[Classifier] = []


def handle(data: list[dict[str, Any]] | None, context: object) -> list[str] | None:
    """Classify each request's image; load the network at the first call."""
    if not _loaded:
        _loaded.append(Classifier())
    return None if data is None else _loaded[0].classify([row["body"] for row in data])
