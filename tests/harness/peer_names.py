"""
The public names of the peers' modules, as ``modelserver/compat/names.json`` holds them.

``python -m tests.harness.peer_names SITE_PACKAGES_OF_TS SITE_PACKAGES_OF_MMS`` writes the table again from
installed packages. It reads their files and imports nothing. Facts only: names, and where each is from.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from modelserver.system.installation import COMPAT

TABLE = COMPAT / "names.json"
_TESTS = "ts.torch_handler.unit_tests"
_OF_TESTS = ("conftest", "test_")

Names = dict[str, str]
"""Each name, and the ``module`` or ``module:name`` that it was imported from; empty: it is defined there."""


def table(*site_packages: Path) -> dict[str, Names]:
    """The names of all modules of ``ts`` and ``mms`` below some folders."""
    found: dict[str, Names] = {}
    for root in site_packages:
        for package in ("ts", "mms"):
            for file in sorted((root / package).rglob("*.py")):
                module = _module(file.relative_to(root))
                if module is not None:
                    names = dict(_names(ast.parse(file.read_text("utf-8")).body, module, file.stem))
                    found[module] = {name: names[name] for name in sorted(names) if name[0] != "_"}
    return found


def _module(path: Path) -> str | None:
    """The name of a module; None for tests, and for files that cannot be imported."""
    parts = path.with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    is_test = module.startswith(f"{_TESTS}.") and parts[3].startswith(_OF_TESTS) and parts[3] != "test_utils"
    return None if is_test or not all(map(str.isidentifier, parts)) else module


def _names(body: Iterable[ast.stmt], module: str, stem: str) -> Iterator[tuple[str, str]]:
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield statement.name, ""
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            yield from _assigned(statement)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            yield from _imported(statement, module, stem)
        elif not (isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test)):
            for part in ("body", "handlers", "orelse", "finalbody"):
                yield from _names(getattr(statement, part, ()), module, stem)


def _assigned(statement: ast.Assign | ast.AnnAssign) -> Iterator[tuple[str, str]]:
    is_logger = statement.value is not None and "getLogger" in ast.unparse(statement.value)
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    for target in targets:
        for node in ast.walk(target):
            if isinstance(node, ast.Name):
                yield node.id, "logging:getLogger" if is_logger else ""


def _imported(statement: ast.Import | ast.ImportFrom, module: str, stem: str) -> Iterator[tuple[str, str]]:
    for alias in statement.names:
        if isinstance(statement, ast.ImportFrom):
            yield alias.asname or alias.name, f"{_origin(statement, module, stem)}:{alias.name}"
        else:
            first = alias.name.partition(".")[0]
            yield alias.asname or first, alias.name if alias.asname else first


def _origin(statement: ast.ImportFrom, module: str, stem: str) -> str:
    if not statement.level:
        return statement.module or ""
    parts = module.split(".")
    parts = parts[: len(parts) - statement.level + (stem == "__init__")]
    return ".".join([*parts, statement.module] if statement.module else parts)


if __name__ == "__main__":
    TABLE.write_text(json.dumps(table(*map(Path, sys.argv[1:])), indent=1) + "\n")
