"""The command ``torch-model-archiver``: TorchServe's, with its options and archives of the same content."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modelserver.archive.pack import PackRequest, pack
from modelserver.archive.packing import PackingFailed, listed

RUNTIMES = ("python", "python3", "LSP")
FORMATS = ("tgz", "no-archive", "zip-store", "default")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Pack an archive.

    :param argv: the words after the command, or None for those of this process.
    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(prog="torch-model-archiver", description="Packs a model for serving.")
    add_arguments(parser)
    return 0 if pack_or_tell(read_request(parser.parse_args(argv))) else 1


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


def pack_or_tell(request: PackRequest) -> Path | None:
    """Pack an archive; print warnings and failures to stderr. Return None after a failure."""
    try:
        return pack(request, tell=lambda text: print(f"WARNING - {text}", file=sys.stderr))
    except PackingFailed as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
