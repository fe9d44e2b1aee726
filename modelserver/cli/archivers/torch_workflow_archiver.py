"""The command ``torch-workflow-archiver``: TorchServe's, with its options and the same archives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modelserver.archive.pack_workflow import WorkflowPackRequest, pack_workflow
from modelserver.archive.packing import PackingFailed, listed


def main(argv: Sequence[str] | None = None) -> int:
    """
    Pack an archive. A specification that a server would refuse is packed, as by the original, and told of.

    :param argv: the words after the command, or None for those of this process.
    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(
        prog="torch-workflow-archiver", description="Packs a workflow for serving."
    )
    add_workflow_arguments(parser)
    request = read_workflow_request(parser.parse_args(argv))
    made = pack_workflow_or_tell(request)
    if made is None:
        return 1
    try:
        problems = request.problems()
    except PackingFailed as why:
        problems = [f"A server will refuse it: {why}"]
    for problem in problems:
        _warn(problem)
    return 0


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


def pack_workflow_or_tell(request: WorkflowPackRequest) -> Path | None:
    """Pack an archive; print warnings and failures to stderr. Return None after a failure."""
    try:
        return pack_workflow(request, tell=_warn)
    except PackingFailed as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return None


def _warn(text: str) -> None:
    print(f"WARNING - {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
