"""Examines an archive's weights: their format, what they need, how long it will go on, and their size."""

from __future__ import annotations

import pickletools
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from packaging.version import InvalidVersion, Version

from modelserver.archive.manifest import Manifest
from modelserver.archive.pack import BUILT_IN_HANDLERS
from modelserver.archive.weights_formats import WeightsFormat, weights_format
from modelserver.cli.doctor.examination import Examination
from modelserver.cli.doctor.findings import Finding
from modelserver.cli.doctor.onnx_files import external_files

SOUND_WEIGHTS_ONLY = Version("2.10")
"""The first torch whose ``weights_only`` keeps a file from running code (CVE-2026-24747)."""

_OF_STATE_DICTS = ("torch", "collections", "numpy", "_codecs", "builtins", "__builtin__")
_FOR_PYTHON = re.compile(r"\.cpython-(\d)(\d+)-[^/]*\.so$")
_LARGEST_PICKLE = 64 << 20
_MOST_NAMES = 3


def about_weights(manifest: Manifest, folder: Path, examination: Examination) -> Iterator[Finding]:
    """Yield what is to be known of the file of weights; nothing of it is loaded or unpickled."""
    name = manifest.serialized_file
    path = None if name is None else folder / name
    if name is None or path is None or not path.is_file():
        return
    found = weights_format(path)
    if found is WeightsFormat.TORCHSCRIPT:
        yield _about_script(name, manifest)
    elif found is WeightsFormat.PICKLE:
        yield from _about_pickle(path, manifest, examination)
    elif found in (WeightsFormat.COMPILED_PACKAGE, WeightsFormat.EXPORTED_PROGRAM):
        text = (
            f"{name}, of the kind {found.value}, is code as a handler is: serve it only from whom you trust."
        )
        yield Finding("works", "weights", text)
    elif found is WeightsFormat.SAFETENSORS:
        yield from _about_safetensors(name, manifest, examination)
    elif found is WeightsFormat.ONNX:
        yield from _about_onnx(path, folder, examination)
    else:
        yield Finding("works", "weights", f"{name} ({found.value})")
    yield _about_size(path, examination)


def about_python(folder: Path) -> Iterator[Finding]:
    """Yield which compiled modules in an archive are for another Python than this one."""
    for path in sorted(folder.rglob("*.so")):
        match = _FOR_PYTHON.search(path.name)
        if match is not None and (int(match[1]), int(match[2])) != sys.version_info[:2]:
            here = ".".join(map(str, sys.version_info[:2]))
            text = f"{path.relative_to(folder)} is for Python {match[1]}.{match[2]}; here is {here}."
            yield Finding("fails", "Python", text)


def _about_script(name: str, manifest: Manifest) -> Finding:
    convert = (
        "modelserver archive convert makes a .pt2 archive of the model file, its weights and an example"
        if manifest.model_file
        else "where the class is at hand, pack it with its state dict and run modelserver archive convert"
    )
    text = f"{name} is TorchScript: it is served, but deprecated since torch 2.10. To convert: {convert}."
    return Finding("differs", "weights", text)


def _about_safetensors(name: str, manifest: Manifest, examination: Examination) -> Iterator[Finding]:
    is_there, lacks_class = examination.importable("safetensors"), _lacks_class(manifest)
    if not is_there:
        yield Finding("fails", "weights", f"{name} needs safetensors, which is not installed here.")
    if lacks_class:
        text = f"{name} is safetensors, and the archive has no model file with their class."
        yield Finding("fails", "weights", text)
    elif is_there:
        yield Finding("works", "weights", f"{name} ({WeightsFormat.SAFETENSORS.value})")


def _lacks_class(manifest: Manifest) -> bool:
    """Return whether weights that need a class are for a handler of ours, and there is none."""
    return manifest.model_file is None and manifest.handler in BUILT_IN_HANDLERS


def _about_onnx(path: Path, folder: Path, examination: Examination) -> Iterator[Finding]:
    try:
        others = external_files(path)
    except (OSError, ValueError) as error:
        yield Finding("fails", "weights", f"{path.name} cannot be read as ONNX: {error}")
        return
    missing = sorted(each for each in others if not _is_within(folder, path.parent / each))
    if missing:
        text = (
            f"{path.name} keeps weights in {', '.join(missing[:_MOST_NAMES])}, which the archive lacks: "
            "pack that with --extra-files, or export with external_data=False."
        )
        yield Finding("fails", "weights", text)
    if not examination.importable("onnxruntime"):
        yield Finding("fails", "weights", f"{path.name} needs onnxruntime, which is not installed here.")
    elif not missing:
        yield Finding("works", "weights", f"{path.name} (ONNX)")


def _is_within(folder: Path, path: Path) -> bool:
    """Return whether a file is there, and in the folder."""
    try:
        return path.is_file() and path.resolve().is_relative_to(folder.resolve())
    except OSError:  # no file has so long a name, or it is where only others may look
        return False


def _about_pickle(path: Path, manifest: Manifest, examination: Examination) -> Iterator[Finding]:
    named = {name for name in _names(path) if name.partition(".")[0] not in _OF_STATE_DICTS}
    classes = sorted(named) or sorted(name for name in _names(path) if name.startswith("torch.nn.modules."))
    if classes:
        more = f" and {len(classes) - _MOST_NAMES} more" if len(classes) > _MOST_NAMES else ""
        text = (
            f"{path.name} pickles a whole module: it needs {', '.join(classes[:_MOST_NAMES])}{more}. "
            "Since torch 2.6 only torch.load(..., weights_only=False) loads it, and runs whatever code it "
            "names. Save model.state_dict() instead."
        )
        handler = (manifest.handler or "").partition(":")[0]
        # A handler of the archive's own may load it so; ours do not.
        yield Finding("differs" if handler.endswith(".py") else "fails", "weights", text)
    elif _lacks_class(manifest):
        text = f"{path.name} is a state dict, and the archive has no model file with its class."
        yield Finding("fails", "weights", text)
    else:
        yield Finding("works", "weights", f"{path.name} is a state dict.")
    installed = examination.version_of("torch")
    if installed is not None and _is_before(installed, SOUND_WEIGHTS_ONLY):
        text = (
            f"torch {installed} is here: before {SOUND_WEIGHTS_ONLY}, a file can run code in spite of "
            "weights_only (CVE-2026-24747)."
        )
        yield Finding("differs", "weights", text)


def _is_before(installed: str, version: Version) -> bool:
    try:
        return Version(installed) < version
    except InvalidVersion:
        return False


def _names(path: Path) -> set[str]:
    """Return the classes and functions that a file of torch.save names; none if it cannot be read."""
    try:
        return set(_globals(_pickle(path)))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return set()


def _pickle(path: Path) -> bytes:
    if not zipfile.is_zipfile(path):
        # The oldest format: several pickles, the last of them before the bytes of the tensors.
        with path.open("rb") as file:
            return file.read(_LARGEST_PICKLE)
    with zipfile.ZipFile(path) as archive:
        (name,) = [each for each in archive.namelist() if each.rpartition("/")[2] == "data.pkl"][:1]
        with archive.open(name) as member:
            return member.read(_LARGEST_PICKLE)


def _globals(content: bytes) -> Iterator[str]:
    """Yield the dotted names that pickles refer to, one pickle after the other."""
    position, texts = 0, [""]
    while content[position : position + 1] == b"\x80":
        for operation, argument, at in pickletools.genops(content[position:]):
            if operation.name == "GLOBAL":
                yield str(argument).replace(" ", ".")
            elif operation.name == "STACK_GLOBAL":
                yield ".".join(texts[-2:])
            elif isinstance(argument, str):
                texts = [texts[-1], argument]
            if operation.name == "STOP":
                position += (at or 0) + 1


def _about_size(path: Path, examination: Examination) -> Finding:
    size, memory = path.stat().st_size, examination.memory()
    text = f"{path.name} has {_megabytes(size)}, this machine {_megabytes(memory)} of memory for all workers."
    if size > memory:
        return Finding("fails", "memory", text)
    return Finding("differs" if 2 * size > memory else "works", "memory", text)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
