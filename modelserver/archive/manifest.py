"""Reads ``MAR-INF/MANIFEST.json`` of an unpacked archive, or the manifest of a legacy MMS one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, field

from modelserver.archive.documents import read_bounded
from modelserver.archive.manifest_documents import (
    LARGEST,
    UNREADABLE,
    ManifestDocument,
    file_of,
    leaves,
    parse_manifest,
    section_of,
    text_of,
)
from modelserver.dialect_rules import MMS, TORCHSERVE
from modelserver.errors import ArchiveInvalid, BadRequest
from modelserver.language.attributes import frozen

MANIFEST = Path("MAR-INF", "MANIFEST.json")
LEGACY_MANIFEST = Path("MANIFEST.json")
DEFAULT_VERSION = "1.0"

_LEGACY_VERSION = "snapshot"
_SUPPORTED = {"python": "python", "python3": "python3"}
_REFUSED = {"python2": "python2", "lsp": "LSP"}


@frozen
class ManifestRules:
    """
    What a model and its manifest must have, where TorchServe and Multi Model Server differ.

    :param require_engine_name: an ``engine`` must say ``engineName``.
    :param allow_outside_handler: the handler's file may lie outside the archive.
    :param wrapped_folders: a directory that holds one folder and nothing else stands for that one.
    """

    require_engine_name: bool = False
    allow_outside_handler: bool = False
    wrapped_folders: bool = True


TORCHSERVE_RULES = ManifestRules()
MMS_RULES = ManifestRules(require_engine_name=True, wrapped_folders=False)
RULES: Mapping[str, ManifestRules] = {TORCHSERVE.name: TORCHSERVE_RULES, MMS.name: MMS_RULES}
"""The rules of each dialect."""


@frozen
class Manifest:
    """
    What an archive says of its model. An archive without a manifest says nothing, which is legal.

    :param model_name: None where only the registration can name the model.
    :param engine: the engine's name.
    :param legacy: it was written for MMS 0.x and lies at the top of the archive.
    :param raw: the whole document as it was read, for the handler; empty where there is none.
    """

    model_name: str | None = None
    model_version: str = DEFAULT_VERSION
    handler: str | None = None
    runtime: str = "python"
    serialized_file: str | None = None
    model_file: str | None = None
    requirements_file: str | None = None
    config_file: str | None = None
    engine: str | None = None
    envelope: str | None = None
    legacy: bool = False
    raw: Mapping[str, object] = field(factory=dict)


def read_manifest(
    folder: Path, rules: ManifestRules = TORCHSERVE_RULES, runtime: str | None = None
) -> Manifest:
    """
    Read and check the manifest of the unpacked archive in ``folder``.

    :param runtime: what the registration says; goes before the manifest's.
    :raises ArchiveInvalid: the manifest cannot be read, or asks for what this server does not have.
    :raises BadRequest: ``runtime`` is no runtime.
    """
    given = None if runtime is None else known_runtime(runtime)
    for path, convert in ((MANIFEST, _from_document), (LEGACY_MANIFEST, _from_legacy)):
        try:
            text = read_bounded(folder / path, LARGEST)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as why:
            raise ArchiveInvalid(f"{UNREADABLE} {path}: {getattr(why, 'strerror', None) or why}.") from why
        manifest = convert(parse_manifest(text), rules)
        break
    else:
        manifest = Manifest()
    manifest = manifest if given is None else evolve(manifest, runtime=given)
    _check_supported(manifest.runtime)
    _check_handler(manifest.handler, rules)
    return manifest


def complete(
    manifest: Manifest,
    rules: ManifestRules = TORCHSERVE_RULES,
    model_name: str | None = None,
    handler: str | None = None,
) -> Manifest:
    """
    Put what the registration says before what the manifest says.

    The handler may stay open: the server's ``default_service_handler`` is asked later.

    :raises ArchiveInvalid: nobody names the model, or the handler is outside the archive.
    """
    manifest = evolve(
        manifest, model_name=model_name or manifest.model_name, handler=handler or manifest.handler
    )
    if manifest.model_name is None:
        raise ArchiveInvalid("Model name is not defined.")
    _check_handler(manifest.handler, rules)
    return manifest


def model_config(folder: Path, manifest: Manifest) -> Mapping[str, object]:
    """
    Read the ``model-config.yaml`` that the manifest names.

    :return: the document, empty where there is none.
    :raises ArchiveInvalid: it cannot be read; the text has the line.
    """
    if manifest.config_file is None:
        return {}
    from modelserver.archive.yaml_documents import read_yaml  # in the thread, not at the start

    try:
        document = read_yaml(read_bounded(folder / manifest.config_file))
    except (OSError, ValueError) as why:
        reason = getattr(why, "strerror", None) or why
        raise ArchiveInvalid(f"{manifest.config_file} cannot be read: {reason}.") from why
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ArchiveInvalid(f"{manifest.config_file} is not a mapping of keys to values.")
    return document


def _from_document(document: ManifestDocument, rules: ManifestRules) -> Manifest:
    top = document.texts
    model = section_of(top, "model")
    engine = section_of(top, "engine") if top.get("engine") is not None else None
    engine_name = None if engine is None else text_of(engine, "engineName")
    if engine is not None and engine_name is None and rules.require_engine_name:
        raise ArchiveInvalid("engineName is required in <engine>.")
    return Manifest(
        model_name=text_of(model, "modelName"),
        model_version=text_of(model, "modelVersion") or DEFAULT_VERSION,
        handler=text_of(model, "handler"),
        runtime=_file_runtime(top),
        serialized_file=file_of(model, "serializedFile"),
        model_file=file_of(model, "modelFile"),
        requirements_file=file_of(model, "requirementsFile"),
        config_file=file_of(model, "configFile"),
        engine=engine_name,
        envelope=text_of(model, "envelope"),
        raw=document.raw,
    )


def _from_legacy(document: ManifestDocument, rules: ManifestRules) -> Manifest:
    """Read a manifest of MMS 0.x: the service is the handler, and the engine is MXNet."""
    model = section_of(document.texts, "Model")
    handler = text_of(model, "Service")
    if handler is None:
        raise ArchiveInvalid("Missing Service entry in MANIFEST.json")
    return Manifest(
        model_name=text_of(model, "Model-Name"),
        model_version=_LEGACY_VERSION,
        handler=handler,
        engine="MXNet",
        legacy=True,
        raw=document.raw,
    )


def _file_runtime(document: Mapping[str, object]) -> str:
    """Return the runtime that the manifest names; ``python`` where it does not, but not where it is null."""
    value = document.get("runtime", "python")
    if value is not None and not isinstance(value, str):
        raise ArchiveInvalid(f"{UNREADABLE} runtime must be a string.")
    known = _known_runtime(value or "")
    if known is None:
        raise ArchiveInvalid("Runtime is not defined or invalid.")
    return known


def known_runtime(value: str) -> str:
    """
    Return the runtime that a registration asks for, as manifests write it.

    :raises BadRequest: there is no such runtime.
    """
    known = _known_runtime(value)
    if known is None:
        raise BadRequest(f"Invalid RuntimeType value: {value}")
    return known


def _known_runtime(value: str) -> str | None:
    folded = value.lower()
    return _SUPPORTED.get(folded) or _REFUSED.get(folded)


def _check_supported(runtime: str) -> None:
    if runtime not in _SUPPORTED:
        raise ArchiveInvalid(
            f"Runtime {runtime} is not supported: handlers run on Python 3. "
            "A handler that does may be registered with runtime=python."
        )


def _check_handler(handler: str | None, rules: ManifestRules) -> None:
    if handler is not None and not rules.allow_outside_handler and leaves(handler.split(":", 1)[0]):
        raise ArchiveInvalid("The handler must be a file inside the archive.")
