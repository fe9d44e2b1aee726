"""A workflow archive that was unpacked: its manifest and its specification, checked against its files."""

from __future__ import annotations

from pathlib import Path

from modelserver.archive.documents import read_bounded
from modelserver.archive.workflow_manifest import WORKFLOW_MANIFEST, WorkflowManifest, read_workflow_manifest
from modelserver.archive.workflow_spec import DEFAULT_SPEC_LIMITS, SpecLimits, read_workflow_spec
from modelserver.language.attributes import frozen
from modelserver.workflows.errors import WorkflowInvalid
from modelserver.workflows.spec import WorkflowSpec


@frozen
class WorkflowContent:
    """
    What an archive holds.

    :param problems: what in the specification is ignored, for the log.
    """

    manifest: WorkflowManifest
    spec: WorkflowSpec
    problems: tuple[str, ...] = ()


def read_workflow(folder: Path, limits: SpecLimits = DEFAULT_SPEC_LIMITS) -> WorkflowContent:
    """
    Read the unpacked archive in ``folder``. Blocks: to be run in a thread.

    :raises WorkflowInvalid: its manifest or its specification breaks a rule, or a file is missing.
    :raises GraphInvalid: the specification's nodes are no graph that can be run.
    """
    manifest = read_workflow_manifest(folder)
    try:
        text = read_bounded(folder / manifest.spec_file)
    except FileNotFoundError as why:
        raise _missing(manifest.spec_file, "specFile") from why
    except (OSError, ValueError) as why:
        reason = getattr(why, "strerror", None) or why
        raise WorkflowInvalid(f"{manifest.spec_file} cannot be read: {reason}.") from why
    spec, problems = read_workflow_spec(text, manifest.spec_file, limits)
    _check_handler(folder, manifest, spec)
    return WorkflowContent(manifest, spec, problems)


def _check_handler(folder: Path, manifest: WorkflowManifest, spec: WorkflowSpec) -> None:
    """Check that the file with the functions is there, if a node runs one."""
    function = next((node for node in spec.nodes.values() if node.function is not None), None)
    if function is None:
        return
    if manifest.handler is None:
        raise WorkflowInvalid(
            f"Node {function.name} is a function, and handler is not defined in {WORKFLOW_MANIFEST}."
        )
    if not (folder / manifest.handler).is_file():
        raise _missing(manifest.handler, "handler")


def _missing(file: str, key: str) -> WorkflowInvalid:
    return WorkflowInvalid(f"{file} is named by {WORKFLOW_MANIFEST} ({key}) and not in the archive.")
