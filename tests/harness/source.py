"""
What the package's source looks like: its modules, their imports and circles, long functions, repeated names.

``python -m tests.harness.source`` prints the measures that ``tests/test_layers.py`` checks.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from attrs import frozen

import modelserver

ROOT = Path(modelserver.__file__).parent
LONGEST_FILE = 400
LONGEST_FUNCTION = 40
MANY_NAMES = ("modelserver.compat", "modelserver.child.handlers")
"""Where class names are the peers', so that they may stand twice."""


@frozen
class Import:
    """One imported module, or name of a module."""

    module: str
    target: str
    line: int
    at_start: bool

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: {self.target}"


def is_in(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of these, or below one of them."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


@cache
def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def nodes(tree: ast.AST, at_start: bool = True) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether it is run when the module is imported."""
    for child in ast.iter_child_nodes(tree):
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield child, at_start
        yield from nodes(child, at_start and not inside)


def targets(node: ast.AST) -> list[str]:
    """The dotted names that a statement imports; a relative import has a leading dot."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        dot = "." if node.module else ""
        return [f"{module}{dot}{alias.name}" for alias in node.names]
    return []


@cache
def imports() -> tuple[Import, ...]:
    """Every import of every module, wherever in the module it stands."""
    return tuple(
        Import(module, target, node.lineno, at_start)
        for module, path in modules().items()
        for node, at_start in nodes(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for target in targets(node)
    )


def of_ours() -> Iterator[tuple[Import, str]]:
    """The imports of our own modules, each with the module that it leads to."""
    for found in imports():
        if is_in(found.target, ("modelserver",)):
            name = found.target
            yield found, name if name in modules() else name.rpartition(".")[0]


def circles() -> list[list[str]]:
    """
    Find the circles of imports: strongly connected components of more than one module (Tarjan's algorithm).

    Every import counts, those inside functions and those for type hints included.
    """
    graph: dict[str, set[str]] = {name: set() for name in modules()}
    for found, target in of_ours():
        if target in graph and target != found.module:
            graph[found.module].add(target)
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    components: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        path.append(name)
        for target in graph[name]:
            if target not in order:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in path:
                lowest[name] = min(lowest[name], order[target])
        if lowest[name] == order[name]:
            at = path.index(name)
            components.append(sorted(path[at:]))
            del path[at:]

    for name in graph:
        if name not in order:
            visit(name)
    return [component for component in components if len(component) > 1]


def at_the_top() -> list[str]:
    """List the modules that are in no folder."""
    return sorted(path.name for path in ROOT.glob("*.py") if path.name != "__init__.py")


def long_files() -> dict[str, int]:
    """Count the lines of the modules that have too many."""
    lines = {name: len(path.read_text("utf-8").splitlines()) for name, path in modules().items()}
    return {name: count for name, count in lines.items() if count > LONGEST_FILE}


def long_functions() -> dict[str, int]:
    """Count the lines of the functions that have too many, docstrings not counted."""
    found = {}
    for name, path in modules().items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = node.body[0]
                of_docstring = _lines_of(first) if ast.get_docstring(node) else 0
                lines = _lines_of(node) - of_docstring
                if lines > LONGEST_FUNCTION:
                    found[f"{name}.{node.name}"] = lines
    return found


def _lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def repeated_classes() -> dict[str, list[str]]:
    """Name the modules of each class name that stands twice, the peers' own names aside."""
    places: dict[str, list[str]] = {}
    for name, path in modules().items():
        if not is_in(name, MANY_NAMES):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(name)
    return {name: where for name, where in places.items() if len(where) > 1}


def main() -> None:
    """Print the measures, a line each."""
    print(f"files at the top: {len(at_the_top())}: {', '.join(at_the_top())}")
    print(f"circles of imports: {len(circles())}", *circles(), sep="\n  ")
    print(f"files over {LONGEST_FILE} lines: {long_files()}")
    print(f"functions over {LONGEST_FUNCTION} lines: {long_functions()}")
    print(f"class names that stand twice: {repeated_classes()}")


if __name__ == "__main__":
    main()
