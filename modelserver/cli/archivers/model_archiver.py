"""The command ``model-archiver``: MMS's, with its options and archives of the same content."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from modelserver.archive.pack import FolderPackRequest, pack
from modelserver.archive.packing import PackingFailed

RUNTIMES = ("python", "python2", "python3")
FORMATS = ("tgz", "no-archive", "default")


def main(argv: Sequence[str] | None = None) -> int:
    """
    Pack an archive.

    :param argv: the words after the command, or None for those of this process.
    :returns: the exit status.
    """
    arguments = build_parser().parse_args(argv)
    request = FolderPackRequest(
        model_name=arguments.model_name,
        handler=arguments.handler,
        model_path=arguments.model_path,
        runtime=arguments.runtime,
        export_path=arguments.export_path or Path.cwd(),
        archive_format=arguments.archive_format,
        force=arguments.force,
    )
    try:
        if arguments.convert:
            _check_convertible(request.model_path)
        pack(request, tell=lambda text: print(f"WARNING - {text}", file=sys.stderr))
    except PackingFailed as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the options, which are those of Multi Model Server's archiver."""
    parser = argparse.ArgumentParser(prog="model-archiver", description="Packs a folder for serving.")
    add = parser.add_argument
    add("--model-name", required=True, help="the model's name, and that of its archive")
    add("--model-path", required=True, type=Path, help="the folder with the model and its handler")
    add("--handler", required=True, help="module:function of the handler")
    add("--runtime", default="python", choices=RUNTIMES, help="what runs the handler; default: python")
    add("--export-path", type=Path, help="the folder to put the archive into; default: the current one")
    add(
        "--archive-format",
        default="default",
        choices=FORMATS,
        help="default: a .mar; tgz: a .tar.gz; no-archive: a folder",
    )
    add("-f", "--force", action="store_true", help="replace an archive of the same name")
    add(
        "-c",
        "--convert",
        action="store_true",
        help="refuse a folder with an .onnx file: MXNet is not supported",
    )
    return parser


def _check_convertible(folder: Path) -> None:
    """
    Refuse a folder whose ONNX file ``--convert`` would have to convert; without such a file, nothing is.

    :raises PackingFailed: there is an ONNX file, and MXNet would be needed; or there are several.
    """
    found = sorted(path.name for path in folder.glob("*.onnx"))
    if len(found) > 1:
        raise PackingFailed(
            f"model-archiver expects only one .onnx file in the folder. Found {len(found)} files {found} "
            "in model-path."
        )
    if found:
        raise PackingFailed(
            f"{found[0]} cannot be converted: MXNet models are not supported. "
            "Without --convert it is packed as it is."
        )


if __name__ == "__main__":
    sys.exit(main())
