"""The command ``torch-workflow-archiver``: TorchServe's, with its options and the same archives."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modelserver.archive.pack_arguments import add_workflow_arguments, read_workflow_request
from modelserver.archive.pack_workflow import WorkflowPackRequest, pack_workflow
from modelserver.archive.packing import PackingFailed


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
