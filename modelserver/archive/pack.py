"""Packs model archives with the content that torch-model-archiver 0.12 and MMS's model-archiver give them."""

from __future__ import annotations

import errno
import glob
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from attrs import field, frozen

from modelserver.archive.containers import CONTAINERS, Content
from modelserver.archive.manifest import MANIFEST

ARCHIVER_VERSION = "0.12.0"
"""The torch-model-archiver whose archives these equal; written into each manifest, as servers ask for it."""

BUILT_IN_HANDLERS = (
    "base_handler",
    "text_classifier",
    "image_classifier",
    "object_detector",
    "image_segmenter",
    "dali_image_classifier",
    "vllm_handler",
    "trt_llm_handler",
)
BUILT_IN_CPP_HANDLERS = ("BaseHandler", "TorchScriptHandler")
FORMATS = tuple(CONTAINERS)

_MANIFEST = PurePosixPath(MANIFEST)
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_\-.]*$"
_LEFT_OUT_FOLDERS = ("__MACOSX", "__pycache__")
_LEFT_OUT_BY_MMS = (".pyc", ".DS_Store", ".mar")

Tell = Callable[[str], None]
"""Told what the user should know though nothing fails."""


class PackingFailed(Exception):
    """No archive was made, and nothing is left; the text says why."""


@frozen
class PackRequest:
    """
    The options of ``torch-model-archiver``.

    :param handler: a file, a file without ``.py``, either with ``:function``, or a built-in name.
    :param extra_files: files, folders (their content is taken) and patterns.
    :param archive_format: one of ``FORMATS``.
    :param force: an archive of the same name may be replaced.
    """

    model_name: str
    version: str
    handler: str
    serialized_file: str | None = None
    model_file: str | None = None
    extra_files: tuple[str, ...] = ()
    requirements_file: str | None = None
    config_file: str | None = None
    runtime: str = "python"
    export_path: Path = field(factory=Path.cwd)
    archive_format: str = "default"
    force: bool = False
    created: datetime = field(factory=datetime.now)

    def manifest(self) -> Mapping[str, object]:
        """Return the document for ``MAR-INF/MANIFEST.json``."""
        model = {
            "modelName": self.model_name,
            "serializedFile": _base_name(self.serialized_file),
            "handler": self.handler.rsplit("/", 1)[-1],
            "modelFile": _base_name(self.model_file),
            "modelVersion": self.version or None,
            "requirementsFile": _base_name(self.requirements_file),
            "configFile": _base_name(self.config_file),
        }
        return {
            "createdOn": self.created.strftime("%d/%m/%Y %H:%M:%S"),
            "runtime": self.runtime,
            "model": {name: value for name, value in model.items() if value is not None},
            "archiverVersion": ARCHIVER_VERSION,
        }

    def content(self, tell: Tell) -> Content:
        """Return the files of the archive. Where two have one name, the later goes before the earlier."""
        content: dict[PurePosixPath, Path] = {}
        for name in (self.model_file, self.serialized_file, _handler_file(self.handler, self.runtime)):
            _add(content, _single(name), tell)
        for name in self.extra_files:
            for path in _expanded(name, tell):
                _add(content, _tree(path) if path.is_dir() else _single(str(path)), tell)
        for name in (self.requirements_file, self.config_file):
            _add(content, _single(name), tell)
        return content


@frozen
class FolderPackRequest:
    """
    The options of MMS's ``model-archiver``.

    :param handler: ``module:function``, as it is written into the manifest.
    :param model_path: the folder whose content is packed.
    """

    model_name: str
    handler: str
    model_path: Path
    runtime: str = "python"
    export_path: Path = field(factory=Path.cwd)
    archive_format: str = "default"
    force: bool = False

    def manifest(self) -> Mapping[str, object]:
        """Return the document for ``MAR-INF/MANIFEST.json``."""
        return {
            "runtime": self.runtime,
            "model": {"modelName": self.model_name, "handler": self.handler},
            "modelServerVersion": "1.0",
            "implementationVersion": "1.0",
            "specificationVersion": "1.0",
        }

    def content(self, tell: Tell) -> Content:
        """Return the files of the archive."""
        if not self.model_path.is_dir():
            raise PackingFailed(
                f"Given model-path {self.model_path} is not a valid directory. "
                "Point to a valid model-path directory."
            )
        content: dict[PurePosixPath, Path] = {}
        _add(content, _tree(self.model_path, follow=False), tell, _is_taken_by_mms)
        return content


def pack(request: PackRequest | FolderPackRequest, tell: Tell = lambda text: None) -> Path:
    """
    Make an archive, completely or not at all.

    :param tell: told of patterns without a match, of a file whose place another of its name takes, and of an
        archive that is replaced.
    :return: the archive, or the folder for the format ``no-archive``.
    :raises PackingFailed: the archive cannot be made.
    """
    if not re.fullmatch(_NAME.rstrip("$"), request.model_name):
        raise PackingFailed(
            "Model name contains special characters.\n"
            f"The allowed regular expression filter for model name is: {_NAME}"
        )
    if not request.export_path.is_dir():
        raise PackingFailed(
            f"Given export-path {request.export_path} is not a directory. "
            "Point to a valid export-path directory."
        )
    container = CONTAINERS[request.archive_format]
    target = request.export_path / f"{request.model_name}{container.suffix}"
    if target.exists() and not request.force:
        raise PackingFailed(
            f"{target} already exists.\n"
            "Please specify --force/-f option to overwrite the model archive output file.\n"
            "See -h/--help for more details."
        )
    if target.exists():
        tell(f"Overwriting {target} ...")
    try:
        content = request.content(tell)
        _check_folders(content)
        manifest = json.dumps(request.manifest(), indent=2).encode()
        container.write(target, content, manifest)
    except (OSError, UnicodeError) as why:
        raise PackingFailed(str(why)) from why
    return target


def _check_folders(content: Content) -> None:
    folders = {folder for name in content for folder in name.parents}
    for name in content:
        if name in folders:
            raise PackingFailed(f"{name} is a file and a folder of the archive.")


def _base_name(path: str | None) -> str | None:
    return None if path is None else path.rsplit("/", 1)[-1]


def _handler_file(handler: str, runtime: str) -> str | None:
    """Return the file that a handler's name stands for, or None for a built-in one."""
    is_cpp = runtime == "LSP"
    if not handler or handler in (BUILT_IN_CPP_HANDLERS if is_cpp else BUILT_IN_HANDLERS):
        return None
    if is_cpp:
        return handler.split(":", 1)[0] + ".so"
    if ".py" not in handler:
        return handler.split(":", 1)[0] + ".py"
    # torch-model-archiver looks for a file named ``h.py:handle``; what is meant is plain.
    return handler if os.path.exists(handler) else handler.split(":", 1)[0]


def _expanded(name: str, tell: Tell) -> Iterable[Path]:
    """Return the files and folders that one name of ``--extra-files`` stands for."""
    if os.path.exists(name):
        return (Path(name),)
    if glob.escape(name) == name:
        raise PackingFailed(f"File does not exist: {name}")
    found = sorted(glob.glob(name))
    if not found:
        tell(f"Given wildcard pattern did not match any file: {name}")
    return map(Path, found)


def _single(name: str | None) -> Iterator[tuple[PurePosixPath, Path]]:
    if name:
        path = Path(name)
        yield PurePosixPath(path.name), path


def _tree(top: Path, follow: bool = True) -> Iterator[tuple[PurePosixPath, Path]]:
    """Return the files below a folder; caches and hidden folders are left out, empty folders too."""
    for folder, folders, files in os.walk(top, followlinks=follow):
        folders[:] = sorted(
            name for name in folders if name not in _LEFT_OUT_FOLDERS and not name.startswith(".")
        )
        for name in folders if follow else ():
            if Path(folder).resolve().is_relative_to(Path(folder, name).resolve()):
                raise PackingFailed(f"{Path(folder, name)} is a link to a folder that it lies in.")
        for name in sorted(files):
            path = Path(folder, name)
            yield PurePosixPath(path.relative_to(top)), path


def _is_taken_by_mms(name: str) -> bool:
    return not name.endswith(_LEFT_OUT_BY_MMS) and name != MANIFEST.name


def _add(
    content: dict[PurePosixPath, Path],
    files: Iterable[tuple[PurePosixPath, Path]],
    tell: Tell,
    is_taken: Callable[[str], bool] = lambda name: True,
) -> None:
    """Take files into an archive's content, each of which must be there and be a file."""
    for name, path in files:
        if not is_taken(name.name) or name == _MANIFEST:
            continue
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(mode):
            raise PackingFailed(f"Not a plain file: {path}")
        before = content.get(name)
        if before is not None and not before.samefile(path):
            tell(f"{path} takes the place of {before} in the archive: both are named {name}")
        content[name] = path
