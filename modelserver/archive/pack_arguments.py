"""The options of ``torch-model-archiver`` and ``torch-workflow-archiver``, and what they ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

from modelserver.archive.pack import PackRequest
from modelserver.archive.pack_workflow import WorkflowPackRequest
from modelserver.archive.packing import listed

RUNTIMES = ("python", "python3", "LSP")
FORMATS = ("tgz", "no-archive", "zip-store", "default")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``torch-model-archiver``."""
    add = parser.add_argument
    add("--model-name", required=True, help="the model's name, and that of its archive")
    add("--serialized-file", help="the weights (.pt, .pth), a TorchScript module or an .onnx file")
    add("--model-file", help="for weights alone: a Python file with the one class of the network")
    add("--handler", required=True, help="a Python file, file:function, or the name of a built-in handler")
    add("--extra-files", default="", help="more files, folders and patterns, separated by commas")
    add("--runtime", default="python", choices=RUNTIMES, help="what runs the handler; default: python")
    add("--export-path", type=Path, help="the folder to put the archive into; default: the current one")
    add(
        "--archive-format",
        default="default",
        choices=FORMATS,
        help="default: a compressed .mar; zip-store: a .mar that is not compressed; "
        "tgz: a .tar.gz; no-archive: a folder",
    )
    add("-f", "--force", action="store_true", help="replace an archive of the same name")
    add("-v", "--version", required=True, help="the model's version")
    add("-r", "--requirements-file", help="a requirements.txt with what the handler needs")
    add("-c", "--config-file", help="a YAML file with the model's configuration, such as batchSize")


def read_request(arguments: argparse.Namespace) -> PackRequest:
    """Return the packing request that the options ask for."""
    return PackRequest(
        model_name=arguments.model_name,
        version=arguments.version,
        handler=arguments.handler,
        serialized_file=arguments.serialized_file,
        model_file=arguments.model_file,
        extra_files=listed(arguments.extra_files),
        requirements_file=arguments.requirements_file,
        config_file=arguments.config_file,
        runtime=arguments.runtime,
        export_path=arguments.export_path or Path.cwd(),
        archive_format=arguments.archive_format,
        force=arguments.force,
    )


def add_workflow_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``torch-workflow-archiver``."""
    add = parser.add_argument
    add("--workflow-name", required=True, help="the workflow's name, and that of its archive")
    add("--spec-file", required=True, help="a YAML file with the models of the workflow and its graph (dag)")
    add("--handler", help="a Python file with the functions that are nodes; needed if there are any")
    add("--export-path", type=Path, help="the folder to put the archive into; default: the current one")
    add("--extra-files", default="", help="more files, separated by commas")
    add("-f", "--force", action="store_true", help="replace an archive of the same name")


def read_workflow_request(arguments: argparse.Namespace) -> WorkflowPackRequest:
    """Return the packing request that the options ask for."""
    return WorkflowPackRequest(
        workflow_name=arguments.workflow_name,
        spec_file=arguments.spec_file,
        handler=arguments.handler or None,
        extra_files=listed(arguments.extra_files),
        export_path=arguments.export_path or Path.cwd(),
        force=arguments.force,
    )
