"""
Reads handwritten digits: a picture of any size in, the digit and its probability out.

A handler as TorchServe and this server take it: one class with ``initialize`` and ``handle``, which uses
nothing but torch and Pillow.
"""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageChops

SIDE = 8
FAINTEST_INK = 48
"""How far a pixel must be from the background (0 to 255) to belong to the digit."""

_UNREADABLE = (ValueError, OSError, SyntaxError, Image.DecompressionBombError)
"""What Pillow, and this module, raise for bytes that are no picture of a digit."""


def normalise(picture: Image.Image) -> Image.Image:
    """
    Bring a picture to what the network has learned: 8 x 8 pixels, a bright digit that fills a black square.

    The background is the commonest colour of the picture's edge, so a dark digit on white is read as well as
    a bright one on black.

    :raises ValueError: there is nothing on the background.
    """
    grey = _on_white(picture).convert("L")
    ink = ImageChops.difference(grey, Image.new("L", grey.size, _background(grey)))
    box = ink.point([0] * FAINTEST_INK + [255] * (256 - FAINTEST_INK)).getbbox()
    if box is None:
        raise ValueError("the picture is empty")
    digit = ink.crop(box)
    side = max(digit.size)
    square = Image.new("L", (side, side), 0)
    square.paste(digit, ((side - digit.width) // 2, (side - digit.height) // 2))
    return square.resize((SIDE, SIDE), Image.Resampling.BOX)


def _on_white(picture: Image.Image) -> Image.Image:
    """The picture with its transparent parts made white."""
    if "A" not in picture.getbands() and "transparency" not in picture.info:
        return picture
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)


def _background(grey: Image.Image) -> int:
    """The commonest brightness of the outermost pixels."""
    inside = Image.new("L", grey.size, 255)
    inside.paste(0, (1, 1, max(grey.width - 1, 1), max(grey.height - 1, 1)))
    counts = grey.histogram(inside)
    return counts.index(max(counts))


def to_tensor(pictures: list[Image.Image]) -> torch.Tensor:
    """Pictures of 8 x 8 pixels as one batch, (N, 1, 8, 8), from 0.0 to 1.0."""
    pixels = bytearray(b"".join(picture.tobytes() for picture in pictures))
    flat = torch.frombuffer(pixels, dtype=torch.uint8).float() / 255
    return flat.reshape(len(pictures), 1, SIDE, SIDE)


class DigitHandler:
    """Answers each picture of a batch with ``{"digit": d, "probability": p}``."""

    def __init__(self) -> None:
        self._model: torch.nn.Module | None = None
        self._device = torch.device("cpu")

    def initialize(self, context: Any) -> None:
        """Load the archive's weights: TorchScript, or a state dict where the archive has a model file."""
        properties = context.system_properties
        gpu = properties.get("gpu_id")
        if gpu is not None and torch.cuda.is_available():
            self._device = torch.device(f"cuda:{gpu}")
        torch.set_num_threads(1)  # a picture of 64 pixels gains nothing from a second thread
        about = context.manifest["model"]
        weights = Path(properties["model_dir"]) / about["serializedFile"]
        if about.get("modelFile"):
            self._model = _eager(weights, about["modelFile"]).to(self._device).eval()
        else:
            self._model = torch.jit.load(str(weights), map_location=self._device).eval()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[dict[str, object]]:
        """Read every picture of the batch; one that cannot be read has status 400 and says why."""
        pictures: list[Image.Image] = []
        answers: list[dict[str, object]] = []
        readable: list[int] = []
        for index, row in enumerate(data):
            try:
                pictures.append(_decode(row))
                readable.append(index)
                answers.append({})
            except _UNREADABLE as error:
                context.set_response_status(400, "Bad Request", index)
                answers.append({"error": f"This is no picture of a digit: {error}."})
        if pictures:
            for index, answer in zip(readable, self._read(pictures), strict=True):
                answers[index] = answer
        return answers

    def _read(self, pictures: list[Image.Image]) -> list[dict[str, object]]:
        assert self._model is not None, "initialize comes first"
        with torch.inference_mode():
            scores = self._model(to_tensor(pictures).to(self._device))
            best = torch.softmax(scores, dim=1).max(dim=1)
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [{"digit": digit, "probability": round(probability, 4)} for digit, probability in pairs]


def _decode(row: dict[str, Any]) -> Image.Image:
    """The picture in a row of the batch, normalised."""
    body = row.get("data")
    if body is None:
        body = row.get("body")
    if not isinstance(body, bytes | bytearray):
        raise ValueError("expected the bytes of a PNG file, as curl -T sends them")
    with Image.open(io.BytesIO(body)) as picture:
        return normalise(picture)


def _eager(weights: Path, model_file: str) -> torch.nn.Module:
    """The network that the archive's model file defines, with the archive's weights."""
    folder = str(weights.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = importlib.import_module(Path(model_file).stem)
    network: torch.nn.Module = module.DigitNetwork()
    network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return network
