"""``modelserver archive convert``: a ``.pt2`` archive of one with a model file and its weights."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from modelserver.archive.containers import CONTAINERS, Content
from modelserver.archive.manifest import MANIFEST, Manifest, model_config, read_manifest
from modelserver.archive.pack import BUILT_IN_HANDLERS
from modelserver.archive.packing import Packing, PackingFailed, Tell, write_archive
from modelserver.archive.unpack import open_archive
from modelserver.errors import ServingError
from modelserver.language.attributes import frozen

CONVERTER = "modelserver.child.handlers.conversion"
"""The module that runs torch, in a process of its own."""
RESULT = "conversion.json"
"""The file in the new archive that has what was compared and measured."""

_BATCH = re.compile(r"([1-9][0-9]{0,8})(?:-([1-9][0-9]{0,8}))?")
_SHAPE = re.compile(r"[0-9]+(?:,[0-9]+)*")

Run = Callable[[Sequence[str]], int]
"""Runs a command to its end, and returns its exit status."""


class ConversionFailed(Exception):
    """There is no new archive; the text says why."""


def add_convert_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``convert``."""
    parser.add_argument("archive", type=Path, help="an archive with a model file; its weights are optional")
    parser.add_argument(
        "--shape", action="append", type=_shape, help="of one row of an input, as 3,224,224; for each input"
    )
    parser.add_argument("--dtype", default="float32", help="of the inputs (float32)")
    parser.add_argument("--example", type=Path, help="a file with the tensors of one row, by torch.save")
    parser.add_argument(
        "--batch", type=_batch, default=(1, 64), metavar="N|MIN-MAX", help="sizes of batches (1-64)"
    )
    parser.add_argument("--compile", action="store_true", help="compile by AOTInductor: needs a C++ compiler")
    parser.add_argument("--export-path", type=Path, default=Path(), help="where NAME-pt2.mar is to be")
    parser.add_argument("--force", action="store_true", help="replace an archive of that name")


def _shape(text: str) -> list[int]:
    if not _SHAPE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no shape like 3,224,224")
    return [int(number) for number in text.split(",")]


def _batch(text: str) -> tuple[int, int]:
    match = _BATCH.fullmatch(text)
    least, most = (0, 0) if match is None else (int(match[1]), int(match[2] or match[1]))
    if not 1 <= least <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no size like 8, and no range like 1-64")
    return least, most


def run_convert(arguments: argparse.Namespace, run: Run = subprocess.call) -> int:
    """
    Convert, and print where the archive is and both timings.

    :returns: the exit status.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="modelserver-convert-") as scratch:
            target, result = _convert(arguments, Path(scratch), run)
    except (ServingError, PackingFailed, ConversionFailed) as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return 1
    print(_text(target, result))
    return 0


def _convert(arguments: argparse.Namespace, scratch: Path, run: Run) -> tuple[Path, Mapping[str, Any]]:
    folder = open_archive(arguments.archive, scratch / "model")
    manifest = read_manifest(folder)
    if manifest.model_file is None:
        raise ConversionFailed(
            f"{arguments.archive.name} has no model file: pack the class of the model (--model-file) with "
            "its state dict (--serialized-file), and convert that."
        )
    name = f"{Path(manifest.serialized_file or manifest.model_file).stem}.pt2"
    program, files = scratch / name, (scratch / "order.json", scratch / RESULT)
    order = {
        "folder": str(folder.resolve()),
        "model_file": manifest.model_file,
        "weights": manifest.serialized_file,
        "example": _example(arguments, model_config(folder, manifest)),
        "least": arguments.batch[0],
        "most": arguments.batch[1],
        "is_compiled": arguments.compile,
        "target": str(program),
    }
    files[0].write_text(json.dumps(order), "utf-8")
    status = run([sys.executable, "-m", CONVERTER, *map(str, files)])
    if status or not files[1].exists():
        raise ConversionFailed(f"The converting process ended with status {status}.")
    result: dict[str, Any] = json.loads(files[1].read_text("utf-8"))
    if "error" in result:
        raise ConversionFailed(result["error"])
    packing = Packing(
        kind="model",
        name=f"{manifest.model_name or arguments.archive.stem}-pt2",
        export_path=arguments.export_path,
        container=CONTAINERS["default"],
        manifest=PurePosixPath(MANIFEST),
        force=arguments.force,
    )
    converted = Converted(manifest, folder, program, files[1])
    return write_archive(packing, converted, lambda text: print(f"WARNING - {text}", file=sys.stderr)), result


def _example(arguments: argparse.Namespace, config: Mapping[str, object]) -> Mapping[str, object]:
    """
    Return the example inputs that the command or the archive names, as a section ``warmup``.

    :raises ConversionFailed: neither names any.
    """
    if arguments.example is not None:
        return {"file": str(arguments.example.resolve())}
    if arguments.shape:
        return {"shapes": arguments.shape, "dtype": arguments.dtype}
    section = config.get("warmup")
    if isinstance(section, Mapping) and (
        section.get("shapes") or str(section.get("file")).endswith((".pt", ".pth"))
    ):
        return section
    raise ConversionFailed(
        "An example is needed: --shape or --example, or warmup with shapes in model-config.yaml."
    )


@frozen
class Converted:
    """
    What is packed: the old archive with a program in place of its weights.

    The model file stays for a handler of the archive's own, which may import it.
    """

    source: Manifest
    folder: Path
    program: Path
    result: Path

    def manifest(self) -> Mapping[str, object]:
        """Return the document of the manifest."""
        model = self.source.raw.get("model")
        kept = dict(model) if isinstance(model, Mapping) else {}
        kept.pop("modelFile", None)
        return {**self.source.raw, "model": {**kept, "serializedFile": self.program.name}}

    def content(self, tell: Tell) -> Content:
        """Return the files of the archive."""
        left_out = {self.source.serialized_file}
        if self.source.handler in BUILT_IN_HANDLERS:
            left_out.add(self.source.model_file)
        kept = {
            PurePosixPath(path.relative_to(self.folder)): path
            for path in sorted(self.folder.rglob("*"))
            if path.is_file() and path.relative_to(self.folder).as_posix() not in left_out
        }
        return {
            **kept,
            PurePosixPath(self.program.name): self.program,
            PurePosixPath(RESULT): self.result,
        }


def _text(target: Path, result: Mapping[str, Any]) -> str:
    load, call = result["loadSeconds"], result["callSeconds"]
    sizes = " and ".join(map(str, result["compared"]))
    return "\n".join(
        (
            str(target),
            f"batches:    {result['batches']}",
            f"compared:   batches of {sizes}; largest difference {result['largestDifference']:.2g}",
            f"load:       {load['eager']:.3f} s before, {load['pt2']:.3f} s now",
            f"one call:   {call['eager'] * 1000:.3f} ms before, {call['pt2'] * 1000:.3f} ms now "
            f"(batch of {result['measuredBatch']})",
        )
    )
