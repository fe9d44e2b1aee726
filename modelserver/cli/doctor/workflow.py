"""Examines a workflow archive: finds what this server would refuse or lack."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from modelserver.archive.unpack import unpack
from modelserver.archive.workflow import WorkflowContent, read_workflow
from modelserver.cli.doctor.examination import Examination
from modelserver.cli.doctor.findings import Finding
from modelserver.cli.doctor.handler_imports import missing_imports
from modelserver.errors import ServingError
from modelserver.sources.urls import is_remote
from modelserver.workflows.spec import Node


def examine_workflow(path: Path, folder: Path, examination: Examination) -> Iterator[Finding]:
    """
    Unpack an archive, read its specification, and read its Python file without running it. Blocks.

    :param folder: the folder to make for the archive's files; the caller removes it.
    """
    try:
        unpack(path, folder, examination.settings.archive_limits())
        content = read_workflow(folder)
    except ServingError as error:
        yield Finding("fails", path.name, str(error))
        return
    order = ", ".join(content.spec.graph.order)
    yield Finding("works", "workflow", f"{content.manifest.name}: {order}")
    for problem in content.problems:
        yield Finding("ignored", content.manifest.spec_file, problem)
    for node in content.spec.nodes.values():
        if node.function is None:
            yield _about_model(node, examination)
    yield from _about_functions(content, folder, examination)


def _about_model(node: Node, examination: Examination) -> Finding:
    what = f"node {node.name}"
    if node.model is not None:
        text = f"The model {node.model.name} must be registered before the workflow."
        return Finding("differs", what, text)
    url, store = node.url or "", examination.settings.model_store
    if is_remote(url) or store is None:
        return Finding("works", what, url)
    if (store / url.rpartition("/")[2]).exists():
        return Finding("works", what, f"{url} is in the model store.")
    return Finding("fails", what, f"{url} is not in the model store {store}.")


def _about_functions(content: WorkflowContent, folder: Path, examination: Examination) -> Iterator[Finding]:
    """Yield which functions the handler's file lacks, and what it imports that is not here."""
    handler = content.manifest.handler
    wanted = [node.function for node in content.spec.nodes.values() if node.function is not None]
    if handler is None or not wanted:
        return
    file = folder / handler
    try:
        names = _names(ast.parse(file.read_bytes(), handler))
        missing = list(missing_imports(file, folder, examination.importable))
    except SyntaxError as why:
        yield Finding("fails", handler, f"{handler}, line {why.lineno}, is not Python 3: {why.msg}.")
        return
    except (OSError, ValueError) as why:
        yield Finding("fails", handler, f"{handler} cannot be read: {why}.")
        return
    absent = [name for name in wanted if name not in names]
    for name in absent:
        yield Finding("fails", handler, f"It has no function {name}.")
    for each in missing:
        text = f"{each.module}, imported by {each.file} in line {each.line}, is not installed here."
        yield Finding("fails", handler, text)
    if not absent and not missing:
        yield Finding("works", handler, f"It has {', '.join(wanted)}; everything that it imports is here.")


def _names(module: ast.Module) -> set[str]:
    """Return the names that a module gives to something, wherever that is."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
    return names
