"""The steps in which an archive of a workflow is made, for programs that take them one by one."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from workflow_archiver.manifest_components.manifest import Manifest
from workflow_archiver.manifest_components.workflow import Workflow
from workflow_archiver.workflow_archiver_error import WorkflowArchiverError, WorkflowFileNotFoundError

from modelserver.archive.containers import WORKFLOW_CONTAINER, ManifestFile
from modelserver.archive.pack import LEFT_OUT_FOLDERS, is_file_taken, is_folder_taken, tree
from modelserver.archive.packing import (
    FileMissing,
    PackingFailed,
    check_export_path,
    check_name,
    check_replaced,
    listed,
    write_content,
)
from modelserver.archive.workflow_manifest import WORKFLOW_MANIFEST

__all__ = [
    "MANIFEST_FILE_NAME",
    "WAR_INF",
    "Manifest",
    "Workflow",
    "WorkflowArchiverError",
    "WorkflowExportUtils",
]

WAR_INF, MANIFEST_FILE_NAME = WORKFLOW_MANIFEST.parts


@contextmanager
def raising_own_errors() -> Iterator[None]:
    """Raise this package's errors for those of the packer."""
    try:
        yield
    except FileMissing as why:
        raise WorkflowFileNotFoundError(str(why)) from why
    except PackingFailed as why:
        raise WorkflowArchiverError(str(why)) from why


class WorkflowExportUtils:
    """
    The steps: check, copy the files together, say what they are, put them into an archive.

    All raise ``WorkflowArchiverError``, or what the system raises.
    """

    @staticmethod
    def validate_inputs(workflow_name, export_path):
        """Refuse a name that no archive can have, and what is no folder."""
        WorkflowExportUtils.check_workflow_name_regex_or_exit(workflow_name)
        with raising_own_errors():
            check_export_path(Path(export_path))

    @staticmethod
    def check_workflow_name_regex_or_exit(workflow_name):
        """Refuse a name that no archive can have."""
        with raising_own_errors():
            check_name(workflow_name, "workflow")

    @staticmethod
    def get_archive_export_path(export_file_path, workflow_name):
        """Where the archive will be."""
        return os.path.join(export_file_path, f"{workflow_name}{WORKFLOW_CONTAINER.suffix}")

    @staticmethod
    def check_war_already_exists(workflow_name, export_file_path, overwrite):
        """The folder for the archive; one that is there already is refused unless it may be replaced."""
        folder = os.getcwd() if export_file_path is None else export_file_path
        target = WorkflowExportUtils.get_archive_export_path(folder, workflow_name)
        if os.path.exists(target):
            with raising_own_errors():
                check_replaced(target, "workflow", overwrite, logging.warning)
        return folder

    @staticmethod
    def generate_workflow(workflow_args):
        """What the manifest says of the workflow."""
        return Workflow(workflow_args.workflow_name, workflow_args.spec_file, workflow_args.handler)

    @staticmethod
    def generate_manifest_json(args):
        """The manifest's text."""
        return str(Manifest(WorkflowExportUtils.generate_workflow(args)))

    @staticmethod
    def copy_artifacts(workflow_name, artifact_files):
        """
        Copy the files of an archive into a new folder, which is the caller's to remove.

        :param artifact_files: paths, several of them in one text with commas between; or None.
        """
        folder = tempfile.mkdtemp(prefix=f"{workflow_name}-")
        try:
            for file in (one for names in artifact_files for one in listed(names)):
                shutil.copy(file, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise
        return folder

    @staticmethod
    def archive(export_file, workflow_name, workflow_path, manifest):
        """
        Make an archive of a folder, completely or not at all.

        :param export_file: the folder for the archive.
        :param manifest: its text.
        """
        target = Path(WorkflowExportUtils.get_archive_export_path(export_file, workflow_name))
        document = ManifestFile(PurePosixPath(WORKFLOW_MANIFEST), manifest.encode())
        with raising_own_errors():
            write_content(WORKFLOW_CONTAINER, target, dict(tree(Path(workflow_path))), document)

    @staticmethod
    def archive_dir(path, dst):
        """Put a folder into an open archive."""
        for name, file in tree(Path(path)):
            dst.write(file, str(name))

    @staticmethod
    def directory_filter(directory: str, unwanted_dirs: Collection[str] = LEFT_OUT_FOLDERS) -> bool:
        """Whether a folder of this name belongs into an archive."""
        return is_folder_taken(directory, unwanted_dirs)

    @staticmethod
    def file_filter(current_file: str, files_to_exclude: Collection[str]) -> bool:
        """Whether a file of this name belongs into an archive."""
        return current_file not in files_to_exclude and is_file_taken(current_file, WORKFLOW_CONTAINER.suffix)

    @staticmethod
    def make_dir(d):
        """Make a folder, if it is not there."""
        os.makedirs(d, exist_ok=True)

    @staticmethod
    def clean_temp_files(temp_files):
        """Remove files and folders."""
        for path in temp_files:
            if os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
