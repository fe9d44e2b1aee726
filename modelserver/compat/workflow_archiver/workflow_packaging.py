"""Makes an archive of a workflow of its options."""

from __future__ import annotations

import logging
import os
import sys
from argparse import Namespace

from workflow_archiver.arg_parser import ArgParser
from workflow_archiver.workflow_archiver_error import WorkflowArchiverError
from workflow_archiver.workflow_packaging_utils import WorkflowExportUtils

__all__ = [
    "ArgParser",
    "WorkflowArchiverError",
    "WorkflowExportUtils",
    "generate_workflow_archive",
    "package_workflow",
]


def package_workflow(args: Namespace, manifest: str) -> None:
    """Make an archive with a manifest of one's own; where none can be made, log why and exit with 1."""
    name, left = args.workflow_name, []
    try:
        folder = args.export_path or os.getcwd()
        WorkflowExportUtils.validate_inputs(name, folder)
        folder = WorkflowExportUtils.check_war_already_exists(name, folder, args.force)
        copies = WorkflowExportUtils.copy_artifacts(name, [args.spec_file, args.handler, args.extra_files])
        left.append(copies)
        WorkflowExportUtils.archive(folder, name, copies, manifest)
        logging.info("Successfully exported workflow %s to file %s", name, folder)
    except WorkflowArchiverError as why:
        logging.error(why)
        sys.exit(1)
    finally:
        WorkflowExportUtils.clean_temp_files(left)


def generate_workflow_archive() -> None:
    """Make an archive of the options of this process's command."""
    args = ArgParser.workflow_archiver_args_parser().parse_args()
    package_workflow(args, WorkflowExportUtils.generate_manifest_json(args))


if __name__ == "__main__":
    generate_workflow_archive()
