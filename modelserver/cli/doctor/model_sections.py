"""Examines the sections of ``model-config.yaml`` that workers read, as they do when they load."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from modelserver.archive.manifest import Manifest
from modelserver.archive.pack import BUILT_IN_HANDLERS
from modelserver.archive.pt2_section import compile_options, read_program_options
from modelserver.archive.warm_up_section import read_warm_up
from modelserver.archive.weights_formats import AHEAD_OF_TIME, weights_format
from modelserver.cli.doctor.findings import Finding
from modelserver.version_settings.table import VERSION_SETTINGS

_SECTIONS = frozenset({"autoscaling", "pt2", "torchrun", "warmup"})
_NEARLY = 0.85
"""How alike two keys are that one may have been written for the other; from 0 to 1."""


def about_sections(manifest: Manifest, folder: Path, config: Mapping[str, object]) -> Iterator[Finding]:
    """Yield why a worker will not load because of its sections ``pt2`` and ``warmup``, in its own words."""
    is_built_in = (manifest.handler or "").partition(":")[0] in BUILT_IN_HANDLERS
    for problem in (_of_pt2(manifest, folder, config), _of_warm_up(folder, config)):
        if problem is None:
            continue
        # A handler of the archive's own may read the section itself.
        text = f"{problem}." if is_built_in else f"{problem}: refused where the handler is a BaseHandler."
        yield Finding("fails" if is_built_in else "differs", "model-config.yaml", text)
    section = config.get("warmup")
    if not (section is None or isinstance(section, Mapping)):
        yield Finding("ignored", "model-config.yaml", f"warmup={section!r} is no section: no call is made.")


def about_spelling(config: Mapping[str, object]) -> Iterator[Finding]:
    """Yield keys that are the handler's alone, though they are nearly the server's."""
    known = {row.model_config for row in VERSION_SETTINGS if row.model_config} | _SECTIONS
    by_lower = {name.lower(): name for name in known}
    for key in config:
        near = get_close_matches(str(key).lower(), by_lower, 1, _NEARLY)
        if key not in known and near:
            text = f"{key} means nothing to the server, which knows {by_lower[near[0]]}."
            yield Finding("differs", "model-config.yaml", text)


def _of_pt2(manifest: Manifest, folder: Path, config: Mapping[str, object]) -> str | None:
    name = manifest.serialized_file
    is_onnx = name is not None and name.endswith(".onnx")
    found = None if name is None else weights_format(folder / name)
    try:
        if found in AHEAD_OF_TIME:
            read_program_options(config)
        elif not is_onnx:
            compile_options(config)
    except ValueError as why:
        return str(why)
    return None


def _of_warm_up(folder: Path, config: Mapping[str, object]) -> str | None:
    section = config.get("warmup")
    if not isinstance(section, Mapping):
        return None
    try:
        read_warm_up(section, None).require_file(folder)
    except ValueError as why:
        return str(why)
    return None
