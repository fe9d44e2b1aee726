"""Reads ``WAR-INF/MANIFEST.json`` of an unpacked workflow archive."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import field

from modelserver.archive.documents import read_bounded
from modelserver.archive.manifest_documents import (
    LARGEST,
    UNREADABLE,
    file_of,
    parse_manifest,
    section_of,
    text_of,
)
from modelserver.errors import ArchiveInvalid
from modelserver.language.attributes import frozen
from modelserver.workflows.errors import WorkflowInvalid

WORKFLOW_MANIFEST = Path("WAR-INF", "MANIFEST.json")


@frozen
class WorkflowManifest:
    """
    What an archive says of its workflow.

    :param spec_file: the specification, a YAML file of the archive.
    :param handler: the Python file of the archive with the functions, or None.
    :param raw: the whole document as it was read, for the functions.
    """

    name: str
    spec_file: str
    handler: str | None = None
    raw: Mapping[str, object] = field(factory=dict)


def read_workflow_manifest(folder: Path) -> WorkflowManifest:
    """
    Read and check the manifest of the unpacked archive in ``folder``.

    What is required, and in which words, is TorchServe's (``WorkflowArchive.validate``).

    :raises WorkflowInvalid: there is none, it cannot be read, or it lacks something.
    """
    try:
        document = parse_manifest(read_bounded(folder / WORKFLOW_MANIFEST, LARGEST))
        top = document.texts
        workflow = section_of(top, "workflow") if top.get("workflow") is not None else {}
        name, handler = text_of(workflow, "workflowName"), file_of(workflow, "handler")
        _require(name, "Workflow name is not defined.")
        _require(text_of(top, "archiverVersion"), "Workflow archive version is not defined.")
        _require(text_of(top, "createdOn"), "Workflow archive createdOn is not defined.")
        spec_file = file_of(workflow, "specFile")
        _require(spec_file, f"specFile is not defined in {WORKFLOW_MANIFEST}.")
    except FileNotFoundError as why:
        raise WorkflowInvalid("Workflow name is not defined.") from why
    except ArchiveInvalid as why:
        raise WorkflowInvalid(str(why)) from why
    except (OSError, ValueError) as why:
        reason = getattr(why, "strerror", None) or why
        raise WorkflowInvalid(f"{UNREADABLE} {WORKFLOW_MANIFEST}: {reason}.") from why
    if handler is not None and ":" in handler:
        raise WorkflowInvalid(f"The handler in {WORKFLOW_MANIFEST} must be a file, without a function.")
    return WorkflowManifest(str(name), str(spec_file), handler, document.raw)


def _require(value: str | None, reason: str) -> None:
    if value is None:
        raise WorkflowInvalid(reason)
