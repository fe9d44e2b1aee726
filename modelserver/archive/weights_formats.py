"""What a file of weights is, by what is in it: torch's formats share names, and their names lie."""

from __future__ import annotations

import re
import zipfile
from enum import Enum, unique
from pathlib import Path

_COMPILED = re.compile(r"(?:^|/)data/aotinductor/(?P<model>[^/]+)/")
_PROGRAM = re.compile(r"(?:^|/)(?:models/[^/]+\.json|serialized_exported_program\.json)$")
_SCRIPT = re.compile(r"(?:^[^/]+/|^)(?:code/.+\.py|constants\.pkl)$")
_PICKLE = re.compile(r"(?:^[^/]+/|^)data\.pkl$")
_PICKLED = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LARGEST_HEADER = 100_000_000
"""Bytes of a safetensors header at most, as its own library has it."""


@unique
class WeightsFormat(Enum):
    """The formats that can be told by content; ONNX, which has no mark of its own, by its name."""

    COMPILED_PACKAGE = "AOTInductor package"
    EXPORTED_PROGRAM = "torch.export program"
    TORCHSCRIPT = "TorchScript"
    PICKLE = "torch.save"
    SAFETENSORS = "safetensors"
    SHARED_LIBRARY = "shared library"
    ONNX = "ONNX"
    OTHER = "unknown"


AHEAD_OF_TIME = (
    WeightsFormat.COMPILED_PACKAGE,
    WeightsFormat.EXPORTED_PROGRAM,
    WeightsFormat.SHARED_LIBRARY,
)
"""What torch has exported or compiled."""


def weights_format(path: str | Path) -> WeightsFormat:
    """
    Return what a file is; ``OTHER``, too, if it cannot be read.

    Only the names inside an archive and the first bytes of another file are read, and nothing is unpickled.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _of_names(archive.namelist())
        return _of_bytes(Path(path))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return WeightsFormat.OTHER


def _of_names(names: list[str]) -> WeightsFormat:
    for pattern, found in (
        (_COMPILED, WeightsFormat.COMPILED_PACKAGE),
        (_PROGRAM, WeightsFormat.EXPORTED_PROGRAM),
        (_SCRIPT, WeightsFormat.TORCHSCRIPT),
        (_PICKLE, WeightsFormat.PICKLE),
    ):
        if any(pattern.search(name) for name in names):
            return found
    return WeightsFormat.OTHER


def _of_bytes(path: Path) -> WeightsFormat:
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(b"\x7fELF"):
        return WeightsFormat.SHARED_LIBRARY
    if path.name.endswith(".onnx"):
        return WeightsFormat.ONNX
    if len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= _LARGEST_HEADER:
        return WeightsFormat.SAFETENSORS
    if start[:2] in _PICKLED:
        return WeightsFormat.PICKLE
    return WeightsFormat.OTHER


def compiled_models(names: list[str]) -> list[str]:
    """Return the models of an AOTInductor package, from the names in its archive."""
    found = (_COMPILED.search(name) for name in names)
    return sorted({match["model"] for match in found if match is not None})
