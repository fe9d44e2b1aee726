"""Reads which metrics are kept from a ``metrics.yaml``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml
from twisted.logger import Logger

from modelserver.metrics.declarations import KINDS, Declaration, Declarations

DEFAULT_FILE = Path(__file__).with_name("metrics.yaml")
"""For readers, and for operators to begin with: the server has its content in ``default_declarations``."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The same in C where PyYAML has it: the start waits for this file."""

_log = Logger()


class DeclarationError(ValueError):
    """A metrics configuration breaks a rule; the text says which."""


def parse(text: str) -> Declarations:
    """
    Return the declarations in a YAML document.

    :raises DeclarationError: the text is not YAML, or an entry has no name, no unit, no list of dimensions
        or a type that does not exist.
    """
    try:
        document = yaml.load(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise DeclarationError(f"The metrics configuration is not YAML: {error}") from error
    if not isinstance(document, Mapping):
        raise DeclarationError("The metrics configuration is not a mapping.")
    return Declarations(
        tuple(_section(document, "ts_metrics", ())),
        tuple(_section(document, "model_metrics", ("Hostname",))),
    )


def load(path: Path = DEFAULT_FILE) -> Declarations:
    """
    Return the declarations in a file.

    :raises DeclarationError: as ``parse``, or the file cannot be read.
    """
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise DeclarationError(f"The metrics configuration cannot be read: {error}") from error


def load_or_none(path: Path = DEFAULT_FILE) -> Declarations:
    """Return the declarations in a file; an error in it is logged, and declares nothing, as in TorchServe."""
    try:
        return load(path)
    except DeclarationError as error:
        _log.error("Failed to load metrics configuration: {reason}", reason=str(error), path=str(path))
        return Declarations()


def _section(document: Mapping[object, object], key: str, added: tuple[str, ...]) -> Iterator[Declaration]:
    section = document.get(key)
    if section is None:
        return
    if not isinstance(section, Mapping):
        raise DeclarationError(f"{key} is not a mapping of metric types.")
    seen: set[str] = set()
    for kind, entries in section.items():
        if kind not in KINDS:
            raise DeclarationError(f"{key} has an unknown metric type: {kind}")
        if entries is not None and not isinstance(entries, list):
            raise DeclarationError(f"{key}.{kind} is not a list of metrics.")
        for entry in entries or ():
            declaration = _declaration(entry, f"{key}.{kind}", str(kind), added)
            if declaration.name in seen:
                raise DeclarationError(f"{key} declares {declaration.name} twice.")
            seen.add(declaration.name)
            yield declaration


def _declaration(entry: object, place: str, kind: str, added: tuple[str, ...]) -> Declaration:
    if not isinstance(entry, Mapping):
        raise DeclarationError(f"An entry of {place} is not a mapping.")
    name, unit, dimensions = (entry.get(key) for key in ("name", "unit", "dimensions"))
    shown = f"name: {name}, unit: {unit}, dimensions: {dimensions}"
    if not name:
        raise DeclarationError(f"Metric name cannot be empty. {shown}")
    if not unit:
        raise DeclarationError(f"Metric unit cannot be empty. {shown}")
    if not isinstance(dimensions, list):
        raise DeclarationError(f"Metric dimensions must be a list. {shown}")
    if not all(dimensions):
        raise DeclarationError(f"Metric dimension cannot be empty. {shown}")
    return Declaration(str(name), kind, str(unit), (*map(str, dimensions), *added))
