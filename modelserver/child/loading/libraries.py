"""Reads which libraries a handler's files import, without running them, and has them imported in order."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)
from typing import NoReturn

from modelserver.child.loading.inert import is_inert

_LOADERS = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)
Importer = Callable[[str, Sequence[str]], None]
"""
Imports a module, and the named members of it that are modules.

It raises ``ImportError`` where the handler's import statement would, having left nothing behind.
"""


class _Stopped(Exception):
    """What follows cannot be known by reading: it is left to the workers."""


class LibraryReader:
    """
    Follows what Python would run if it imported a file, as far as reading tells.

    Imports of the archive's own modules are followed into their files. The first statement that may change
    what a later import finds or does (a call for its effect, an assignment to a library's attribute, a loop)
    ends it: the libraries behind it are imported by the workers, as the file's author ordered it. Variables
    of the environment that are set to constants are no end: they are set for the imports behind them.

    :param folders: where the archive's modules are.
    :param importer: imports a library.
    :param set_variable: sets a variable of the environment.
    """

    def __init__(
        self, folders: Sequence[str], importer: Importer, set_variable: Callable[[str, str, bool], None]
    ) -> None:
        self._folders = list(folders)
        self._importer = importer
        self._set_variable = set_variable
        self._seen: set[str] = set()

    def read(self, name: str, file: str) -> bool:
        """
        Follow the file of a top-level module.

        :return: whether its end was reached.
        """
        return self._reaches_end(lambda: self._run(name, file, is_package=False))

    def follow(self, module: str) -> bool:
        """
        Follow the import of one of the archive's modules, and of the packages that it is in.

        :return: whether its end was reached.
        """
        spec = find_in(module.partition(".")[0], self._folders)
        if spec is None or spec.loader is None:
            return False
        return self._reaches_end(lambda: self._import_own(spec, module, ()))

    def _reaches_end(self, read: Callable[[], None]) -> bool:
        try:
            read()
        except (_Stopped, ImportError):
            return False
        return True

    def _run(self, name: str, file: str, is_package: bool) -> None:
        if file in self._seen:
            return
        self._seen.add(file)
        package = name if is_package else name.rpartition(".")[0]
        self._statements(parse(file).body, package)

    def _statements(self, statements: Sequence[ast.stmt], package: str) -> None:
        for statement in statements:
            self._statement(statement, package)

    def _statement(self, node: ast.stmt, package: str) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self._import(alias.name, ())
        elif isinstance(node, ast.ImportFrom):
            if node.module != "__future__":
                self._import(_absolute(node, package), [alias.name for alias in node.names])
        elif isinstance(node, ast.Try):
            self._try(node, package)
        elif isinstance(node, ast.If) and _is_never(node.test):
            self._statements(node.orelse, package)
        elif (variable := _constant_variable(node)) is not None:
            self._set_variable(*variable)
        elif not is_inert(node):
            raise _Stopped

    def _try(self, node: ast.Try, package: str) -> None:
        try:
            self._statements(node.body, package)
        except ImportError:
            handler = next((handler for handler in node.handlers if _catches_import(handler)), None)
            if handler is None:
                raise
            self._statements(handler.body, package)
        else:
            self._statements(node.orelse, package)
        self._statements(node.finalbody, package)

    def _import(self, module: str, names: Sequence[str]) -> None:
        spec = find_in(module.partition(".")[0], self._folders)
        if spec is None:
            self._importer(module, names)
        elif spec.loader is None:
            self._import_of_either(spec, module, names)
        else:
            self._import_own(spec, module, names)

    def _import_of_either(self, spec: ModuleSpec, module: str, names: Sequence[str]) -> None:
        """A folder without ``__init__.py`` is the archive's module only where there is no library."""
        try:
            self._importer(module, names)
        except ModuleNotFoundError as error:
            if error.name != module.partition(".")[0]:
                raise
            self._import_own(spec, module, names)

    def _import_own(self, found: ModuleSpec, module: str, names: Sequence[str]) -> None:
        spec: ModuleSpec | None = found
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            if count > 1:
                spec = _inside(spec, ".".join(parts[:count]))
            self._follow(spec)
        for name in names:
            submodule = _inside(spec, f"{module}.{name}", must_be=False)
            if submodule is not None:
                self._follow(submodule)

    def _follow(self, spec: ModuleSpec | None) -> None:
        """Follow a module of the archive into its file, if it has one that can be read."""
        if spec is None:
            raise _Stopped
        if spec.origin is None or spec.loader is None:
            return  # a folder without __init__.py
        if not isinstance(spec.loader, SourceFileLoader):
            raise _Stopped
        self._run(spec.name, spec.origin, spec.submodule_search_locations is not None)


def parse(file: str) -> ast.Module:
    """
    Parse a file of Python.

    :raises ImportError: it is none; whoever imports it will be told why.
    """
    try:
        with open(file, "rb") as source:
            return ast.parse(source.read(), file)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ImportError(f"{file} cannot be read") from error


def find_in(name: str, folders: Sequence[str]) -> ModuleSpec | None:
    """
    What Python finds for the import of a module in the folders that are its package's; nothing is run.

    A module without a loader is a folder without ``__init__.py``.
    """
    folder_only = None
    for folder in folders:
        spec = FileFinder(folder, *_LOADERS).find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        folder_only = folder_only or spec
    return folder_only


def _inside(package: ModuleSpec | None, name: str, must_be: bool = True) -> ModuleSpec | None:
    """
    Find a module in a package of the archive.

    :raises _Stopped: it is not there, and must be.
    """
    places = package.submodule_search_locations if package is not None else None
    found = find_in(name, list(places)) if places is not None else None
    if found is None and must_be:
        _stop()
    return found


def _stop() -> NoReturn:
    raise _Stopped


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """
    The dotted name of the module that a ``from`` statement means.

    :raises _Stopped: it is relative and leads out of its package.
    """
    if not node.level:
        return node.module or ""
    parts = package.split(".") if package else []
    if node.level > len(parts):
        _stop()
    return ".".join([*parts[: len(parts) - node.level + 1], *([node.module] if node.module else [])])


def _is_never(test: ast.expr) -> bool:
    """Whether a condition holds for type checkers only, or for a program that is run by itself."""
    if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
        (other,) = test.comparators[:1]
        return isinstance(test.ops[0], ast.Eq) and getattr(other, "value", None) == "__main__"
    return getattr(test, "id", getattr(test, "attr", None)) == "TYPE_CHECKING"


def _constant_variable(node: ast.stmt) -> tuple[str, str, bool] | None:
    """
    The name and value of ``os.environ["NAME"] = "value"`` or ``os.environ.setdefault("NAME", "value")``.

    :return: with whether it wins over a value that is there.
    """
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Subscript) and _is_environ(target.value):
            return _named(target.slice, value, wins=True)
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        is_default = isinstance(call.func, ast.Attribute) and call.func.attr == "setdefault"
        if is_default and _is_environ(getattr(call.func, "value", None)) and len(call.args) == 2:
            return _named(call.args[0], call.args[1], wins=False)
    return None


def _named(name: ast.expr, value: ast.expr, wins: bool) -> tuple[str, str, bool] | None:
    texts = [part.value for part in (name, value) if isinstance(part, ast.Constant)]
    if len(texts) == 2 and all(isinstance(text, str) and "\0" not in text for text in texts):
        return str(texts[0]), str(texts[1]), wins
    return None


def _is_environ(node: ast.AST | None) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "environ"
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    )


def _catches_import(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = {getattr(kind, "id", None) for kind in kinds}
    return bool(names & {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})
