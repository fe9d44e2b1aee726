"""Finds the imports of an archive's Python files that would fail, without running anything."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

from modelserver.archive.documents import read_bounded
from modelserver.language.attributes import frozen
from modelserver.system.installation import COMPAT

_LARGEST = 16 * 1024**2


@frozen
class Missing:
    """
    An import that would fail.

    :param module: the dotted name of the module.
    :param file: the file in the archive, with the line.
    """

    module: str
    file: str
    line: int


def is_importable(name: str) -> bool:
    """
    Return whether a worker could import a module, as far as is known without importing anything.

    :param name: a dotted name; of an installed package, only the package is looked for.
    """
    top, _, rest = name.partition(".")
    try:
        spec = find_spec(top)
        if spec is not None and not _is_ours(spec):
            return True
    except (ImportError, ValueError):
        return False
    inside = COMPAT.joinpath(*name.split("."))
    return (COMPAT / top).is_dir() and (not rest or inside.is_dir() or inside.with_suffix(".py").is_file())


def _is_ours(spec: ModuleSpec) -> bool:
    """Return whether a package is our ``ts`` or ``mms``, which an installation has on Python's path."""
    return spec.origin is not None and Path(spec.origin).is_relative_to(COMPAT)


def missing_imports(
    file: Path, folder: Path, importable: Callable[[str], bool] = is_importable
) -> tuple[Missing, ...]:
    """
    Find the imports of a handler that would fail, and those of the archive's own modules that it imports.

    An import that the handler can do without (inside ``try`` with a handler for it) is not looked at.

    :param folder: the unpacked archive.
    :raises SyntaxError: a file is not Python 3; it has the file's name and the line.
    :raises ValueError: a file cannot be parsed for another reason.
    """
    todo, seen, found = [file], {file}, []
    while todo:
        current = todo.pop(0)
        for name, line in _imports(current):
            own = _own_module(name, folder)
            if own is not None:
                if own not in seen:
                    seen.add(own)
                    todo.append(own)
            elif not importable(name):
                found.append(Missing(name, current.name, line))
    return tuple(found)


def lacks_function(file: Path, function: str) -> bool:
    """
    Return whether a handler's file has neither its function nor a class that may have it, for certain.

    :param function: the name, or empty: what is called then is found in other ways.
    :raises SyntaxError: the file is not Python 3.
    """
    if not function:
        return False
    for statement in ast.parse(read_bounded(file, _LARGEST), file.name).body:
        names = _defined(statement)
        if names is None or names & {function, "*", "__getattr__"}:
            return False
    return True


def _defined(statement: ast.stmt) -> set[str] | None:
    """Return the names that a statement defines; None of a class, and where only running it would tell."""
    match statement:
        case ast.Import() | ast.ImportFrom():
            return {alias.asname or alias.name for alias in statement.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            return {statement.name}
        case ast.Assign() | ast.AnnAssign():
            return {part.id for part in ast.walk(statement) if isinstance(part, ast.Name)}
        case ast.Expr():
            return set()
    return None


def _own_module(name: str, folder: Path) -> Path | None:
    """Return the archive's file that a dotted name leads to."""
    path = folder.joinpath(*name.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file
    top = folder / name.partition(".")[0]
    if top.with_suffix(".py").is_file():
        return top.with_suffix(".py")
    return top / "__init__.py" if (top / "__init__.py").is_file() else None


def _imports(file: Path) -> Iterator[tuple[str, int]]:
    """Yield the dotted names that a file imports, with their lines."""
    try:
        tree = ast.parse(read_bounded(file, _LARGEST), file.name)
    except RecursionError as why:
        raise ValueError("it is nested too deeply") from why
    yield from _in_statements(tree)


def _in_statements(node: ast.AST) -> Iterator[tuple[str, int]]:
    if isinstance(node, ast.Import):
        yield from ((alias.name, node.lineno) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
        yield node.module, node.lineno
    for child in _needed(node):
        yield from _in_statements(child)


def _needed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the children of a node, without optional imports."""
    if isinstance(node, ast.Try) and any(map(_catches_import, node.handlers)):
        yield from (*node.orelse, *node.finalbody)
    elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
        yield from node.orelse
    else:
        yield from ast.iter_child_nodes(node)


def _catches_import(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {part.id for part in ast.walk(handler.type) if isinstance(part, ast.Name)}
    caught = [getattr(builtins, name, None) for name in names]
    return any(isinstance(kind, type) and issubclass(ModuleNotFoundError, kind) for kind in caught)
