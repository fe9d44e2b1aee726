"""``modelserver archive``: packs archives of models and workflows, converts them, shows what is in one."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modelserver.archive.manifest import Manifest, model_config, read_manifest
from modelserver.archive.pack_arguments import (
    add_arguments,
    add_workflow_arguments,
    read_request,
    read_workflow_request,
)
from modelserver.archive.packing import PackingFailed
from modelserver.archive.unpack import open_archive
from modelserver.cli.archivers.convert import add_convert_arguments, run_convert
from modelserver.cli.archivers.torch_model_archiver import pack_or_tell
from modelserver.cli.archivers.torch_workflow_archiver import pack_workflow_or_tell
from modelserver.cli.archivers.workflow_inspection import show_workflow
from modelserver.errors import ArchiveInvalid, ServingError
from modelserver.language.attributes import frozen


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``archive`` with its own subcommands."""
    parser = subparsers.add_parser("archive", help="pack an archive, or look into one")
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    add_arguments(actions.add_parser("pack", help="make an archive; options of torch-model-archiver"))
    workflow = actions.add_parser("workflow", help="make a workflow's; options of torch-workflow-archiver")
    add_workflow_arguments(workflow)
    about = "make a .pt2 archive of a model file and its weights"
    add_convert_arguments(actions.add_parser("convert", help=about, description=about))
    inspect = actions.add_parser("inspect", help="check an archive and show what is in it")
    inspect.add_argument("archive", type=Path, help="a .mar, .war, .tar.gz or .model file, or a folder")
    inspect.add_argument("--json", action="store_true", help="for programs")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """
    Do what the parsed arguments say.

    :returns: the exit status.
    """
    if arguments.action == "pack":
        made = pack_or_tell(read_request(arguments))
        if made is not None:
            print(made)
        return 1 if made is None else 0
    if arguments.action == "workflow":
        return _pack_workflow(arguments)
    if arguments.action == "convert":
        return run_convert(arguments)
    if arguments.archive.name.endswith(".war"):
        return show_workflow(arguments.archive, arguments.json)
    try:
        inspection = inspect_archive(arguments.archive)
    except ServingError as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return 1
    print(_json(inspection) if arguments.json else _text(inspection))
    return 0


def _pack_workflow(arguments: argparse.Namespace) -> int:
    """Pack a workflow that a server would take."""
    request = read_workflow_request(arguments)
    try:
        problems = request.problems()
    except PackingFailed as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return 1
    for problem in problems:
        print(f"WARNING - {problem}", file=sys.stderr)
    made = pack_workflow_or_tell(request)
    if made is None:
        return 1
    print(made)
    return 0


@frozen
class Inspection:
    """
    What the server reads from an archive.

    :param files: each file's size in bytes, by its name in the archive.
    :param problems: what will be missing or ignored.
    """

    archive: Path
    manifest: Manifest
    config: Mapping[str, object]
    files: Mapping[str, int]
    problems: Sequence[str]


def inspect_archive(archive: Path) -> Inspection:
    """
    Unpack an archive, as the server would, into a temporary folder.

    :raises ServingError: the server would refuse the archive.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = open_archive(archive, Path(temporary, "model"))
        manifest = read_manifest(folder)
        problems = []
        config: Mapping[str, object] = {}
        try:
            config = model_config(folder, manifest)
        except ArchiveInvalid as why:
            problems.append(str(why))
        files = {
            path.relative_to(folder).as_posix(): path.stat().st_size
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
    return Inspection(archive, manifest, config, files, [*problems, *_missing(manifest, files)])


def _missing(manifest: Manifest, files: Mapping[str, int]) -> Iterator[str]:
    if manifest.model_name is None:
        yield "The manifest names no model; the registration must."
    named = (manifest.serialized_file, manifest.model_file, manifest.requirements_file, manifest.config_file)
    for name in named:
        if name is not None and name not in files:
            yield f"{name} is named by the manifest and not in the archive."


def _json(inspection: Inspection) -> str:
    document = {
        "archive": str(inspection.archive),
        "manifest": inspection.manifest.raw,
        "modelConfig": inspection.config,
        "files": inspection.files,
        "problems": inspection.problems,
    }
    return json.dumps(document, indent=2, default=str)


def _text(inspection: Inspection) -> str:
    manifest = inspection.manifest
    lines = [
        f"archive:  {inspection.archive}",
        f"model:    {manifest.model_name or '-'}",
        f"version:  {manifest.model_version}",
        f"handler:  {manifest.handler or '-'}",
        f"runtime:  {manifest.runtime}",
        *(f"{size:>16,}  {name}" for name, size in inspection.files.items()),
        *(f"problem:  {problem}" for problem in inspection.problems),
    ]
    return "\n".join(lines)
