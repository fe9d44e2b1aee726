"""The steps in which an archive is made, for programs that take them one by one."""

from __future__ import annotations

import logging
import os
import shutil
import tarfile
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from model_archiver.manifest_components.manifest import Manifest, RuntimeType
from model_archiver.manifest_components.model import Model
from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_archiver_error import ModelArchiverError, ModelFileNotFoundError

from modelserver.archive.containers import CONTAINERS, ManifestFile
from modelserver.archive.manifest import MANIFEST
from modelserver.archive.pack import LEFT_OUT_FOLDERS, PackRequest, is_file_taken, is_folder_taken, tree
from modelserver.archive.packing import (
    FileMissing,
    PackingFailed,
    check_export_path,
    check_name,
    check_replaced,
    listed,
    write_content,
)

__all__ = [
    "MANIFEST_FILE_NAME",
    "MAR_INF",
    "MODEL_ARCHIVE_VERSION",
    "MODEL_SERVER_VERSION",
    "Manifest",
    "Model",
    "ModelArchiverConfig",
    "ModelArchiverError",
    "ModelExportUtils",
    "RuntimeType",
    "archiving_options",
    "model_handlers",
]

MODEL_SERVER_VERSION = MODEL_ARCHIVE_VERSION = "1.0"
MAR_INF, MANIFEST_FILE_NAME = MANIFEST.parts
archiving_options = {name: container.suffix for name, container in CONTAINERS.items()}
model_handlers = {
    "base_handler": "anything",
    **dict.fromkeys(("text_classifier", "vllm_handler", "trt_llm_handler"), "text"),
    **dict.fromkeys(
        ("image_classifier", "object_detector", "image_segmenter", "dali_image_classifier"), "vision"
    ),
}


@contextmanager
def raising_own_errors() -> Iterator[None]:
    """Raise this package's errors for those of the packer."""
    try:
        yield
    except (FileMissing, FileNotFoundError) as why:
        raise ModelFileNotFoundError(str(why)) from why
    except PackingFailed as why:
        raise ModelArchiverError(str(why)) from why


class ModelExportUtils:
    """
    The steps: check, copy the files together, say what they are, put them into an archive.

    All raise ``ModelArchiverError``.
    """

    @staticmethod
    def validate_inputs(model_name, export_path):
        """Refuse a name that no archive can have, and what is no folder."""
        ModelExportUtils.check_model_name_regex_or_exit(model_name)
        with raising_own_errors():
            check_export_path(Path(export_path))

    @staticmethod
    def check_model_name_regex_or_exit(model_name):
        """Refuse a name that no archive can have."""
        with raising_own_errors():
            check_name(model_name, "model")

    @staticmethod
    def get_archive_export_path(export_file_path, model_name, archive_format):
        """Where the archive will be."""
        return os.path.join(export_file_path, f"{model_name}{archiving_options[archive_format]}")

    @staticmethod
    def check_mar_already_exists(model_name, export_file_path, overwrite, archive_format="default"):
        """The folder for the archive; one that is there already is refused unless it may be replaced."""
        folder = os.getcwd() if export_file_path is None else export_file_path
        target = ModelExportUtils.get_archive_export_path(folder, model_name, archive_format)
        if os.path.exists(target):
            with raising_own_errors():
                check_replaced(target, "model", overwrite, logging.warning)
        return folder

    @staticmethod
    def find_unique(files, suffix):
        """The one of some names that ends so; None if there is none."""
        found = [name for name in files if name.endswith(suffix)]
        if len(found) > 1:
            raise ModelArchiverError(
                f"model-archiver expects only one {suffix} file in the folder. "
                f"Found {len(found)} files {found} in model-path."
            )
        return found[0] if found else None

    @staticmethod
    def generate_model(modelcfg):
        """What the manifest says of the model."""
        return Model(
            modelcfg.model_name,
            modelcfg.serialized_file,
            modelcfg.handler,
            model_file=modelcfg.model_file,
            model_version=modelcfg.version,
            requirements_file=modelcfg.requirements_file,
            config_file=modelcfg.config_file,
        )

    @staticmethod
    def generate_manifest_json(config):
        """The manifest's text."""
        return str(Manifest(config.runtime, ModelExportUtils.generate_model(config)))

    @staticmethod
    def copy_artifacts(model_name, runtime, **kwargs):
        """
        Copy the files of an archive into a new folder, which is the caller's to remove.

        :param kwargs: ``model_file``, ``serialized_file``, ``handler``, ``extra_files``,
            ``requirements_file``, ``config_file``: paths, or None.
        """
        return _gathered(model_name, runtime, kwargs, shutil.copy2)

    @staticmethod
    def link_artifacts(model_name, runtime, **kwargs):
        """The same with links, for files that are large."""
        return _gathered(model_name, runtime, kwargs, _link)

    @staticmethod
    def archive(export_file, model_name, model_path, manifest, archive_format="default"):
        """
        Make an archive of a folder, completely or not at all.

        :param export_file: the folder for the archive.
        :param manifest: its text.
        """
        target = Path(ModelExportUtils.get_archive_export_path(export_file, model_name, archive_format))
        document = ManifestFile(PurePosixPath(MANIFEST), manifest.encode())
        with raising_own_errors():
            write_content(CONTAINERS[archive_format], target, dict(tree(Path(model_path))), document)

    @staticmethod
    def archive_dir(path, dst, archive_format, model_name):
        """Put a folder into an open archive, or into another folder."""
        for name, file in tree(Path(path)):
            if isinstance(dst, tarfile.TarFile):
                dst.add(file, str(PurePosixPath(model_name, name)))
            elif isinstance(dst, zipfile.ZipFile):
                dst.write(file, str(name))
            else:
                ModelExportUtils.make_dir(os.path.join(dst, name.parent))
                shutil.copy(file, os.path.join(dst, name))

    @staticmethod
    def directory_filter(directory: str, unwanted_dirs: Collection[str] = LEFT_OUT_FOLDERS) -> bool:
        """Whether a folder of this name belongs into an archive."""
        return is_folder_taken(directory, unwanted_dirs)

    @staticmethod
    def file_filter(current_file: str, files_to_exclude: Collection[str]) -> bool:
        """Whether a file of this name belongs into an archive."""
        return current_file not in files_to_exclude and is_file_taken(current_file)

    @staticmethod
    def make_dir(d):
        """Make a folder, if it is not there."""
        os.makedirs(d, exist_ok=True)

    @staticmethod
    def clean_temp_files(temp_files):
        """Remove files."""
        for file in temp_files:
            os.remove(file)


def _gathered(model_name, runtime, files, put):
    """A new folder with the files of an archive, put there one by one."""
    named = {name.replace("-", "_"): os.fspath(path) for name, path in files.items() if path}
    handler, extra_files = named.pop("handler", ""), listed(named.pop("extra_files", None))
    runtime = getattr(runtime, "value", runtime)
    request = PackRequest(model_name, "", handler, extra_files=extra_files, runtime=runtime, **named)
    folder = Path(tempfile.mkdtemp(prefix=f"{model_name}-"))
    try:
        with raising_own_errors():
            for name, path in request.content(logging.warning).items():
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                put(path, target)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return str(folder)


def _link(source, target):
    target.symlink_to(os.path.abspath(source))
