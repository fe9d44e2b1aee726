"""Packs model archives with the content that torch-model-archiver 0.12 and MMS's model-archiver give them."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from attrs import field

from modelserver.archive.containers import CONTAINERS, Content
from modelserver.archive.manifest import MANIFEST
from modelserver.archive.packing import (
    FileMissing,
    Packing,
    PackingFailed,
    Tell,
    add,
    base_name,
    single,
    write_archive,
)
from modelserver.language.attributes import frozen

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

LEFT_OUT_FOLDERS = ("__MACOSX", "__pycache__")
_LEFT_OUT_FILES = (".pyc", ".DS_Store")


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
            "serializedFile": base_name(self.serialized_file),
            "handler": self.handler.rsplit("/", 1)[-1],
            "modelFile": base_name(self.model_file),
            "modelVersion": self.version or None,
            "requirementsFile": base_name(self.requirements_file),
            "configFile": base_name(self.config_file),
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
            add(content, single(name), tell)
        for name in self.extra_files:
            for path in _expanded(name, tell):
                add(content, tree(path) if path.is_dir() else single(str(path)), tell)
        for name in (self.requirements_file, self.config_file):
            add(content, single(name), tell)
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
        """
        Return the files of the archive.

        :raises PackingFailed: there is no such folder, or a file in it cannot be taken.
        """
        if not self.model_path.is_dir():
            raise PackingFailed(
                f"Given model-path {self.model_path} is not a valid directory. "
                "Point to a valid model-path directory."
            )
        content: dict[PurePosixPath, Path] = {}
        add(content, tree(self.model_path, follow=False), tell, is_file_taken)
        return content


def pack(request: PackRequest | FolderPackRequest, tell: Tell = lambda text: None) -> Path:
    """
    Make an archive, completely or not at all.

    :param tell: told of patterns without a match, of a file whose place another of its name takes, and of an
        archive that is replaced.
    :return: the archive, or the folder for the format ``no-archive``.
    :raises PackingFailed: the archive cannot be made.
    """
    packing = Packing(
        kind="model",
        name=request.model_name,
        export_path=request.export_path,
        container=CONTAINERS[request.archive_format],
        manifest=PurePosixPath(MANIFEST),
        force=request.force,
    )
    return write_archive(packing, request, tell)


def _handler_file(handler: str, runtime: str) -> str | None:
    """Return the file that a handler's name stands for, or None for a built-in one."""
    is_cpp = runtime == "LSP"
    if not handler or handler in (BUILT_IN_CPP_HANDLERS if is_cpp else BUILT_IN_HANDLERS):
        return None
    if is_cpp:
        return handler.split(":", 1)[0] + ".so"
    if ".py" not in handler:
        file = handler.split(":", 1)[0] + ".py"
        if "/" not in file and not os.path.exists(file):
            known = ", ".join(BUILT_IN_HANDLERS)
            raise PackingFailed(f"There is no file {file}, and the built-in handlers are {known}.")
        return file
    # torch-model-archiver looks for a file named ``h.py:handle``; what is meant is plain.
    return handler if os.path.exists(handler) else handler.split(":", 1)[0]


def _expanded(name: str, tell: Tell) -> Iterable[Path]:
    """Return the files and folders that one name of ``--extra-files`` stands for; blanks may be around it."""
    name = name if os.path.exists(name) else name.strip()
    if os.path.exists(name):
        return (Path(name),)
    if glob.escape(name) == name:
        raise FileMissing(f"File does not exist: {name}")
    found = sorted(glob.glob(name))
    if not found:
        tell(f"Given wildcard pattern did not match any file: {name}")
    return map(Path, found)


def tree(top: Path, follow: bool = True) -> Iterator[tuple[PurePosixPath, Path]]:
    """
    Return the files below a folder; caches and hidden folders are left out, empty folders too.

    :raises PackingFailed: a link leads to a folder that it lies in.
    """
    for folder, folders, files in os.walk(top, followlinks=follow):
        folders[:] = sorted(filter(is_folder_taken, folders))
        for name in folders if follow else ():
            if Path(folder).resolve().is_relative_to(Path(folder, name).resolve()):
                raise PackingFailed(f"{Path(folder, name)} is a link to a folder that it lies in.")
        for name in sorted(files):
            path = Path(folder, name)
            yield PurePosixPath(path.relative_to(top)), path


def is_folder_taken(name: str, left_out: Collection[str] = LEFT_OUT_FOLDERS) -> bool:
    """Return whether a folder of this name belongs into an archive."""
    return name not in left_out and not name.startswith(".")


def is_file_taken(name: str, suffix: str = ".mar") -> bool:
    """
    Return whether a file of this name belongs into an archive, as Multi Model Server sees it.

    :param suffix: of archives, which are not packed into each other.
    """
    return not name.endswith((*_LEFT_OUT_FILES, suffix)) and name != MANIFEST.name
