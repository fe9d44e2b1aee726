"""What a test names is made a model folder, as a worker gets it: an archive, a folder, a handler's file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from modelserver.archive.manifest import Manifest, complete, model_config, read_manifest
from modelserver.archive.project import Project
from modelserver.archive.unpack import unpack
from modelserver.errors import ArchiveInvalid, ArchiveNotFound
from modelserver.language.attributes import frozen


@frozen
class ModelFolder:
    """
    A folder that can be served.

    :param config: ``model-config.yaml``.
    """

    path: Path
    manifest: Manifest
    config: Mapping[str, object]

    @property
    def name(self) -> str:
        """What the model is called."""
        return self.manifest.model_name or self.path.name

    @property
    def handler(self) -> str:
        """
        What the manifest says is the handler.

        :raises ArchiveInvalid: it says nothing.
        """
        if self.manifest.handler is None:
            raise ArchiveInvalid(f"The manifest of {self.path} names no handler.")
        return self.manifest.handler


@contextmanager
def model_folder(place: str | Path) -> Iterator[ModelFolder]:
    """
    Make a model folder, which is gone at the end; a folder with a manifest is used in place.

    :param place: an archive, the folder of a project, or a handler's file with those beside it.
    :raises ArchiveNotFound: there is no such file.
    :raises ArchiveInvalid: it is none of these.
    """
    place = Path(place).resolve()
    if not place.exists():
        raise ArchiveNotFound(str(place))
    with tempfile.TemporaryDirectory(prefix="modelserver-test-") as scratch:
        folder = _folder_of(place, Path(scratch))
        manifest = read_manifest(folder)
        if manifest.model_name is None:
            manifest = complete(manifest, model_name=place.stem)
        yield ModelFolder(folder, manifest, model_config(folder, manifest))


def _folder_of(place: Path, scratch: Path) -> Path:
    project = Project.at(place)
    if project is not None:
        project.link(scratch / project.name)
        return scratch / project.name
    if place.is_dir():
        return place
    unpack(place, scratch / "model")
    return scratch / "model"
