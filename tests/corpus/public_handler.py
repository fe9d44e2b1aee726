"""What is known of a handler in a public repository, and what it is given here."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import field, frozen

from modelserver.testing.replies import ModelReply
from modelserver.testing.requests import ModelRequest


@frozen
class Case:
    """
    A model that was made to fit a handler, a request, and the right answer.

    :param serialized: its weights, for ``--serialized-file``.
    :param model_file: its class, for ``--model-file``; the handler's own repository may have one.
    :param extra: further files for the archive.
    :param config: the text of its ``model-config.yaml``, or empty.
    :param is_right: whether this is the answer that the made model gives.
    """

    request: ModelRequest
    is_right: Callable[[ModelReply], bool]
    serialized: Path | None = None
    model_file: Path | None = None
    extra: Sequence[Path] = ()
    config: str = ""


@frozen
class PublicHandler:
    """
    A handler's place, and what it needs.

    :param repository: ``owner/name`` at GitHub.
    :param handler: its path in the repository; with ``:function`` where the repository packs it so.
    :param make: makes the case in a folder, in which the handler's files already lie.
    :param beside: paths of files that its archive holds, too.
    :param needs: modules that must be there, beside torch and torchvision.
    :param environment: of the server, where the handler asks for something that libraries of today refuse.
    :param metrics: path of the file that the server's ``metrics_config`` names, where the handler has one.
    :param fault: of its own, for which the server that it was written for does not answer it either;
        the right answer is that server's.
    """

    name: str
    repository: str
    commit: str
    handler: str
    make: Callable[[Path], Case]
    beside: Sequence[str] = ()
    needs: Sequence[str] = ()
    dialect: str = "torchserve"
    environment: Mapping[str, str] = field(factory=dict)
    metrics: str = ""
    fault: str = ""

    @property
    def server(self) -> tuple[object, ...]:
        """What is equal for handlers that the same server can serve."""
        return (self.dialect, tuple(sorted(self.environment.items())), self.metrics)

    @property
    def files(self) -> Sequence[str]:
        """The paths of everything that is taken from the repository."""
        return (self.handler.partition(":")[0], *self.beside)


OLD_PICKLES = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
"""For handlers that ``torch.load`` whole objects, which torch 2.6 and newer refuses of its own accord."""


def is_json(expected: object) -> Callable[[ModelReply], bool]:
    """Return a check that the answer is this value, but for rounding of numbers."""
    return lambda reply: is_close(json.loads(reply.body), expected)


def is_close(found: object, expected: object) -> bool:
    """Whether two values of JSON are equal, but for rounding of numbers."""
    if isinstance(expected, float) and isinstance(found, (int, float)):
        return abs(found - expected) <= 1e-4 * max(1.0, abs(expected))
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(is_close, found, expected))
    if isinstance(expected, dict) and isinstance(found, dict):
        return list(found) == list(expected) and all(map(is_close, found.values(), expected.values()))
    return found == expected


def picture(width: int = 64, height: int = 48, mode: str = "RGB", kind: str = "PNG") -> bytes:
    """Return a picture with something to see in it."""
    from PIL import Image

    size = len(mode)
    pixels = bytes(
        (x * 3 + y * 5 + band * 70) % 256 for y in range(height) for x in range(width) for band in range(size)
    )
    file = io.BytesIO()
    Image.frombytes(mode, (width, height), pixels).save(file, kind)
    return file.getvalue()


def text_of(content: bytes) -> str:
    """Return bytes in base 64, as clients write them into JSON."""
    return base64.b64encode(content).decode("ascii")


def names_file(folder: Path, names: Mapping[str, object]) -> Path:
    """Write ``index_to_name.json``."""
    file = folder / "index_to_name.json"
    file.write_text(json.dumps(names), "utf-8")
    return file
