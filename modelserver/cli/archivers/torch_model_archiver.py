"""The command ``torch-model-archiver``: TorchServe's, with its options and archives of the same content."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modelserver.archive.pack import PackRequest, pack
from modelserver.archive.pack_arguments import add_arguments, read_request
from modelserver.archive.packing import PackingFailed


def main(argv: Sequence[str] | None = None) -> int:
    """
    Pack an archive.

    :param argv: the words after the command, or None for those of this process.
    :returns: the exit status.
    """
    parser = argparse.ArgumentParser(prog="torch-model-archiver", description="Packs a model for serving.")
    add_arguments(parser)
    return 0 if pack_or_tell(read_request(parser.parse_args(argv))) else 1


def pack_or_tell(request: PackRequest) -> Path | None:
    """Pack an archive; print warnings and failures to stderr. Return None after a failure."""
    try:
        return pack(request, tell=lambda text: print(f"WARNING - {text}", file=sys.stderr))
    except PackingFailed as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return None


if __name__ == "__main__":
    sys.exit(main())
