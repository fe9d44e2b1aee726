"""Shows what the server reads from a workflow archive."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from modelserver.archive.unpack import unpack
from modelserver.archive.workflow import WorkflowContent, read_workflow
from modelserver.errors import ServingError
from modelserver.workflows.spec import Node


def show_workflow(archive: Path, as_json: bool) -> int:
    """
    Unpack an archive, as the server would, into a temporary folder, and print what is in it.

    :returns: the exit status: 1 where the server would refuse it.
    """
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "workflow")
            unpack(archive, folder)
            content = read_workflow(folder)
            files = {
                path.relative_to(folder).as_posix(): path.stat().st_size
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
    except ServingError as why:
        print(f"ERROR - {why}", file=sys.stderr)
        return 1
    print(_json(archive, content, files) if as_json else _text(archive, content, files))
    return 0


def _json(archive: Path, content: WorkflowContent, files: Mapping[str, int]) -> str:
    graph = content.spec.graph
    document = {
        "archive": str(archive),
        "manifest": content.manifest.raw,
        "version": content.spec.version,
        "nodes": [
            {"name": name, "is": what_it_is(node), "after": graph.parents[name]}
            for name, node in content.spec.nodes.items()
        ],
        "files": files,
        "problems": content.problems,
    }
    return json.dumps(document, indent=2, default=str)


def _text(archive: Path, content: WorkflowContent, files: Mapping[str, int]) -> str:
    manifest, graph = content.manifest, content.spec.graph
    lines = [
        f"archive:   {archive}",
        f"workflow:  {manifest.name}",
        f"version:   {content.spec.version or '-'}",
        f"spec:      {manifest.spec_file}",
        f"handler:   {manifest.handler or '-'}",
        *(
            f"node:      {name} ({what_it_is(node)}) after {', '.join(graph.parents[name]) or 'the request'}"
            for name, node in content.spec.nodes.items()
        ),
        *(f"{size:>16,}  {name}" for name, size in files.items()),
        *(f"problem:   {problem}" for problem in content.problems),
    ]
    return "\n".join(lines)


def what_it_is(node: Node) -> str:
    """Return what a node runs, in words."""
    if node.url is not None:
        return f"archive {node.url}"
    if node.model is not None:
        version = "" if node.model.version is None else f" version {node.model.version}"
        return f"model {node.model.name}{version}"
    return f"function {node.function}"
