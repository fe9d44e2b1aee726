"""Images to tensors, with Pillow and torch: what torchvision's transforms of the same names do."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from modelserver.child.context import PredictionException

if TYPE_CHECKING:
    import torch
    from PIL import Image

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
TOO_LARGE = 413


def open_image(data: bytes | bytearray | memoryview | str) -> Image.Image:
    """
    The image in some bytes, or in base64 text (a ``data:`` URL, too).

    Its size is known, its pixels are not decoded yet.

    :raises PredictionException: it is none that Pillow knows (415), or is larger than Pillow's limit (413).
    :raises ValueError: the text is no base64.
    """
    from PIL import Image, UnidentifiedImageError

    if isinstance(data, str):
        data = b64decode(data.partition(",")[2] if data.startswith("data:") else data)
    try:
        return Image.open(BytesIO(data))
    except UnidentifiedImageError as error:
        raise PredictionException("The request is no image of a known format.", 415) from error
    except Image.DecompressionBombError as error:
        raise PredictionException(f"The image is too large: {error}", TOO_LARGE) from error


def require_room(width: int, height: int, image: Image.Image) -> None:
    """
    Let an image grow to a size, if that is within Pillow's limit.

    A picture of one row and many columns is small, and vast when its shorter side has 256 pixels.

    :raises PredictionException: it is not.
    """
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > max(limit, image.width * image.height):
        raise PredictionException(
            f"The image of {image.width} x {image.height} pixels is too large: it would be scaled to "
            f"{width} x {height}, the limit are {limit} pixels.",
            TOO_LARGE,
        )


class Compose:
    """Several transforms, one after the other."""

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


class ToRGB:
    """An image in three channels, however it was stored."""

    def __call__(self, image: Image.Image) -> Image.Image:
        return image if image.mode == "RGB" else image.convert("RGB")


class Resize:
    """The shorter side becomes ``size`` pixels; bilinear, with antialiasing."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        from PIL import Image

        width, height = image.size
        short, long = min(width, height), max(width, height)
        if short == self.size:
            return image
        scaled = int(self.size * long / short)
        size = (self.size, scaled) if width <= height else (scaled, self.size)
        require_room(*size, image)
        return image.resize(size, Image.Resampling.BILINEAR)


class CenterCrop:
    """The middle square of ``size`` pixels; black is added where the image is smaller."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image) -> Image.Image:
        size = self.size
        left, top = (self._start(side) for side in image.size)
        return image.crop((left, top, left + size, top + size))

    def _start(self, side: int) -> int:
        if side < self.size:
            return -((self.size - side) // 2)
        return round((side - self.size) / 2)


class ToTensor:
    """A tensor of channels, rows and columns with values from 0 to 1."""

    def __call__(self, image: Image.Image) -> torch.Tensor:
        import torch

        width, height = image.size
        flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        return flat.view(height, width, -1).permute(2, 0, 1).contiguous().float().div_(255)


class Normalize:
    """Each channel minus its mean, divided by its standard deviation."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        self.mean = mean
        self.std = std

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        import torch

        mean = torch.as_tensor(self.mean, dtype=tensor.dtype).view(-1, 1, 1)
        std = torch.as_tensor(self.std, dtype=tensor.dtype).view(-1, 1, 1)
        return (tensor - mean) / std


class OfRGB(Compose):
    """
    Transforms of an image in three channels, which it is made first.

    That is none of ``transforms``: handlers change and index those, as they are in TorchServe.
    """

    def __call__(self, image: Any) -> Any:
        return super().__call__(ToRGB()(image))


def imagenet() -> Compose:
    """The transforms that most image classifiers are trained with."""
    return OfRGB([Resize(256), CenterCrop(224), ToTensor(), Normalize(IMAGENET_MEAN, IMAGENET_STD)])
