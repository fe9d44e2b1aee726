"""Packs workflow archives with the content that torch-workflow-archiver 0.2.15 gives them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from attrs import field

from modelserver.archive.containers import WORKFLOW_CONTAINER, Content
from modelserver.archive.documents import read_bounded
from modelserver.archive.packing import Packing, PackingFailed, Tell, add, base_name, single, write_archive
from modelserver.archive.workflow_manifest import WORKFLOW_MANIFEST
from modelserver.archive.workflow_spec import read_workflow_spec
from modelserver.errors import ServingError
from modelserver.language.attributes import frozen

WORKFLOW_ARCHIVER_VERSION = "0.2.15"
"""The torch-workflow-archiver whose archives these equal; written into each manifest."""


@frozen
class WorkflowPackRequest:
    """
    The options of ``torch-workflow-archiver``.

    :param spec_file: the YAML file with ``models`` and ``dag``.
    :param handler: the Python file with the functions, or None where no node is one.
    :param extra_files: files, which will lie beside the specification.
    :param force: an archive of the same name may be replaced.
    """

    workflow_name: str
    spec_file: str
    handler: str | None = None
    extra_files: tuple[str, ...] = ()
    export_path: Path = field(factory=Path.cwd)
    force: bool = False
    created: datetime = field(factory=datetime.now)

    def manifest(self) -> Mapping[str, object]:
        """Return the document for ``WAR-INF/MANIFEST.json``."""
        workflow = {
            "workflowName": self.workflow_name,
            "specFile": base_name(self.spec_file),
            "handler": base_name(self.handler),
        }
        return {
            "createdOn": self.created.strftime("%d/%m/%Y %H:%M:%S"),
            "workflow": {name: value for name, value in workflow.items() if value is not None},
            "archiverVersion": WORKFLOW_ARCHIVER_VERSION,
        }

    def content(self, tell: Tell) -> Content:
        """Return the files of the archive. Where two have one name, the later goes before the earlier."""
        content: dict[PurePosixPath, Path] = {}
        for name in (self.spec_file, self.handler, *self.extra_files):
            add(content, single(name), tell)
        return content

    def problems(self) -> list[str]:
        """
        Return what in the specification a server would ignore or lack.

        :raises PackingFailed: a server would refuse it.
        """
        file = Path(self.spec_file).name
        try:
            spec, problems = read_workflow_spec(read_bounded(Path(self.spec_file)), file)
        except (ServingError, OSError, ValueError) as why:
            raise PackingFailed(str(why)) from why
        functions = [node.name for node in spec.nodes.values() if node.function is not None]
        if functions and self.handler is None:
            raise PackingFailed(f"{', '.join(functions)}: a node that is a function needs --handler.")
        return list(problems)


def pack_workflow(request: WorkflowPackRequest, tell: Tell = lambda text: None) -> Path:
    """
    Make an archive, completely or not at all.

    :param tell: told of a file whose place another of its name takes, and of an archive that is replaced.
    :raises PackingFailed: the archive cannot be made.
    """
    packing = Packing(
        kind="workflow",
        name=request.workflow_name,
        export_path=request.export_path,
        container=WORKFLOW_CONTAINER,
        manifest=PurePosixPath(WORKFLOW_MANIFEST),
        force=request.force,
    )
    return write_archive(packing, request, tell)
