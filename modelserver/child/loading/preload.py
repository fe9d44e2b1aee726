"""Imports the libraries of a handler before its workers are forked, and nothing of its archive."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder

from modelserver.child.handlers import BUILT_IN, LATE_IMPORTS
from modelserver.child.loading.libraries import LibraryReader, find_in
from modelserver.child.loading.loader import file_of, module_of, own_folders
from modelserver.protocol.load_request import LoadRequest


class LibraryClash(Exception):
    """A library is not as it would be in a worker that imports it by itself."""


def preload_libraries(request: LoadRequest) -> None:
    """
    Import what the handler's files import at their top level and the archive does not contain.

    The search path must be that of a worker (``prepare``). Nothing is found in the archive meanwhile.

    :raises LibraryClash: a worker that imports them by itself could have something else.
    """
    handler = module_of(request.handler)
    variables, libraries = _Variables(), _Libraries()
    hidden = HiddenArchive(own_folders(request))
    reader = LibraryReader(hidden.folders, libraries.load, variables.set)
    with hidden:
        try:
            if _read_handler(handler, request, reader, libraries):
                libraries.load_late_imports()
                model_file = _model_file(request)
                if model_file is not None and libraries.has_late_imports:
                    reader.read(*model_file)
        finally:
            variables.restore()
    hidden.compare(handler)


def _read_handler(name: str, request: LoadRequest, reader: LibraryReader, libraries: _Libraries) -> bool:
    """Read the files of the handler's module, in the archive or out of it; whether their end was reached."""
    file = file_of(name, request.folder)
    if file is not None:
        return reader.read(name, file)
    top = name.partition(".")[0]
    if find_in(top, own_folders(request)) is not None:
        return reader.follow(name)
    if name in BUILT_IN and PathFinder.find_spec(top) is None:
        libraries.load(BUILT_IN[name], ())
        return True
    source = _source_outside(name)
    return source is not None and reader.read(name, source)


def _source_outside(name: str) -> str | None:
    """Return the Python file of an installed module, without importing the packages that it is in."""
    top, *others = name.split(".")
    spec = PathFinder.find_spec(top)
    for count in range(len(others)):
        places = None if spec is None else spec.submodule_search_locations
        spec = find_in(".".join([top, *others[: count + 1]]), list(places or ()))
    if spec is None or not spec.has_location or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return spec.origin


def _model_file(request: LoadRequest) -> tuple[str, str] | None:
    """The name and path of the file with the model's class, which the base handler imports."""
    model = (request.manifest or {}).get("model")
    name = model.get("modelFile") if isinstance(model, dict) else None
    if not isinstance(name, str) or not name.endswith(".py"):
        return None
    return os.path.basename(name).removesuffix(".py"), os.path.join(request.folder, name)


class _Libraries:
    """Imports libraries, and tells failures that leave nothing behind from others."""

    @property
    def has_late_imports(self) -> bool:
        """Whether a handler of ours, or what it is made of, is among what is loaded."""
        return not LATE_IMPORTS.keys().isdisjoint(sys.modules)

    def load(self, module: str, names: Sequence[str]) -> None:
        """
        Do what ``import module`` does, or ``from module import names``.

        :raises ImportError: there is no such module, or it has not these names.
        :raises LibraryClash: its import failed half-way.
        """
        members = [name for name in names if name != "*"]
        try:
            found = importlib.import_module(module)
            __import__(module, {}, None, members, 0)
            missing = [name for name in members if not hasattr(found, name)]
        except ModuleNotFoundError as error:
            if error.name is not None and f"{module}.".startswith(f"{error.name}."):
                raise
            raise LibraryClash(f"the import of {module} fails: {error}") from error
        except BaseException as error:  # ``sys.exit`` and panics of Rust, too
            raise LibraryClash(f"the import of {module} fails: {error!r}") from error
        if missing:
            raise ImportError(f"cannot import name {missing[0]!r} from {module!r}")

    def load_late_imports(self) -> None:
        """Import what the handlers that come with the server import when they load a model."""
        for module, library in LATE_IMPORTS.items():
            if module in sys.modules:
                try:
                    self.load(library, ())
                except ImportError:
                    return


class _Variables:
    """The environment's variables that a handler's files set to constants, while libraries are imported."""

    def __init__(self) -> None:
        self._before: dict[str, str | None] = {}

    def set(self, name: str, value: str, wins: bool) -> None:
        """
        Set a variable.

        :param wins: over the value that it may have.
        """
        self._before.setdefault(name, os.environ.get(name))
        if wins or name not in os.environ:
            os.environ[name] = value

    def restore(self) -> None:
        """Have the environment as it was: the workers set the variables again."""
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class HiddenArchive:
    """
    Keeps the archive's folders on the search path, and lets nothing be found there; as a context manager.

    What was looked for and is there is noted: a worker would have found it.
    """

    def __init__(self, folders: Sequence[str]) -> None:
        self.folders = list(folders)
        self._asked: set[str] = set()

    def __enter__(self) -> None:
        for folder in self.folders:
            sys.path_importer_cache[folder] = _NothingThere(self._asked)

    def __exit__(self, *_: object) -> None:
        for folder in self.folders:
            sys.path_importer_cache.pop(folder, None)

    def compare(self, handler: str) -> None:
        """
        See whether libraries would have found something in the archive.

        :param handler: the name of the handler's module.
        :raises LibraryClash: they would, or have imported the handler.
        """
        clashes = sorted(name for name in self._asked | self._entries() if self._is_shadowed(name))
        if clashes:
            raise LibraryClash(f"libraries import what the archive has, too ({', '.join(clashes[:5])})")
        if handler in sys.modules:
            raise LibraryClash(f"the handler {handler} is imported before the fork")

    def _entries(self) -> set[str]:
        entries = [os.listdir(folder) for folder in self.folders if os.path.isdir(folder)]
        return {entry.partition(".")[0] for found in entries for entry in found} & sys.modules.keys()

    def _is_shadowed(self, name: str) -> bool:
        spec = find_in(name, self.folders)
        if spec is None:
            return False
        # A folder without __init__.py is the module, or a part of it, only where no other file is.
        return spec.loader is not None or getattr(sys.modules.get(name), "__file__", None) is None


class _NothingThere:
    """A finder of the import system for a folder in which nothing is to be found."""

    def __init__(self, asked: set[str]) -> None:
        self._asked = asked

    def find_spec(self, name: str, target: object = None) -> None:
        """Find nothing, and note the name."""
        self._asked.add(name)
