"""A handler that is being written: its folder as an archive would hold it, without packing one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from modelserver.archive.manifest import MANIFEST
from modelserver.archive.weights_formats import WeightsFormat, weights_format
from modelserver.errors import ArchiveInvalid
from modelserver.language.attributes import frozen

HANDLER = "handler.py"
CONFIG, REQUIREMENTS, MODEL_FILE = "model-config.yaml", "requirements.txt", "model.py"
WEIGHTS = (".pt", ".pth", ".pt2", ".bin", ".onnx", ".safetensors")
_LEFT_OUT = ("__pycache__", "MAR-INF", "node_modules", "logs")


@frozen
class Project:
    """
    What a folder says of its model.

    :param handler: a file of the folder, or ``file.py:function``.
    :param weights: the file of weights, or None: there is none, or the handler finds it by itself.
    """

    folder: Path
    name: str
    handler: str
    version: str = "1.0"
    weights: str | None = None

    @classmethod
    def at(cls, place: Path) -> Project | None:
        """
        Return the project of a folder, or of a handler's file; None for what is served as it is.

        That is a folder with a manifest, or an archive.

        :raises ArchiveInvalid: nobody says which file is the handler.
        """
        if place.is_dir():
            return None if (place / MANIFEST).is_file() else cls.of_folder(place)
        return cls.of_handler(place) if place.suffix == ".py" else None

    @classmethod
    def of_folder(cls, folder: Path) -> Project:
        """
        Return the project in a folder without a manifest.

        :raises ArchiveInvalid: nobody says which file is the handler.
        """
        if not (folder / HANDLER).is_file():
            raise ArchiveInvalid(f"{folder} has neither {MANIFEST} nor {HANDLER}.")
        return cls.of_handler(folder / HANDLER)

    @classmethod
    def of_handler(cls, file: Path) -> Project:
        """Return the project of a handler's file: the files beside it belong to it."""
        folder = file.parent.resolve()
        return cls(folder, folder.name, file.name, weights=_weights(folder))

    def manifest(self) -> dict[str, object]:
        """Return the document for ``MAR-INF/MANIFEST.json``."""
        model: dict[str, object] = {
            "modelName": self.name,
            "modelVersion": self.version,
            "handler": self.handler,
        }
        files = {"configFile": CONFIG, "requirementsFile": REQUIREMENTS}
        if self.weights is not None:
            model["serializedFile"] = self.weights
            if weights_format(self.folder / self.weights) is not WeightsFormat.TORCHSCRIPT:
                files["modelFile"] = MODEL_FILE
        model |= {key: name for key, name in files.items() if (self.folder / name).is_file()}
        return {"runtime": "python", "model": model}

    def link(self, target: Path) -> None:
        """
        Make ``target`` a model folder: its files are links to the project's. It may be one already.

        :raises OSError: a file cannot be written.
        """
        target.mkdir(parents=True, exist_ok=True)
        wanted = {path.name: path for path in _entries(self.folder)}
        for old in target.iterdir():
            if old.is_symlink() and old.name not in wanted:
                old.unlink()
        for name, path in wanted.items():
            if not (target / name).is_symlink():
                (target / name).symlink_to(path)
        manifest = target / MANIFEST
        manifest.parent.mkdir(exist_ok=True)
        manifest.write_text(json.dumps(self.manifest(), indent=2), "utf-8")


def _weights(folder: Path) -> str | None:
    """Return the only file of weights; of several, the one that is named after the folder, or ``model``."""
    found = [path for path in _entries(folder) if path.suffix in WEIGHTS]
    named = [path for path in found if path.stem in (folder.name, "model")]
    for candidates in (found, named):
        if len(candidates) == 1:
            return candidates[0].name
    return None


def _entries(folder: Path) -> Iterator[Path]:
    """Return the files and folders that belong to a project; hidden ones, caches and tests do not."""
    for path in sorted(folder.iterdir()):
        is_test = path.name.startswith("test_") or path.name in ("tests", "conftest.py")
        if not path.name.startswith(".") and path.name not in _LEFT_OUT and not is_test:
            yield path
