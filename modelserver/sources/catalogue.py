"""What lies in the model store: archives, and models by the names that clients of a repository know.

Files are asked for by ``os.path``, for which what cannot be looked at (``lost+found``, a name that is too
long) is not there: ``Path`` raises an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from heapq import nsmallest
from pathlib import Path

ENDINGS = (".mar", ".model", ".tar.gz", ".tgz", ".zip")
MOST = 1000
"""Names that are listed."""
PLACES = ("", "model-store")
"""Where a model's own folder has its archive: KServe's agent makes such folders, its users such archives."""


def archives_in(store: Path | None) -> Sequence[str]:
    """Return the names of archives and of folders with a manifest in the store, by name. Blocks."""
    return _names(store, _is_archive)


def models_in(store: Path | None) -> dict[str, str]:
    """Return the URL for a registration by the name of each model of the store. Blocks."""
    found: dict[str, str] = {}
    for entry in _names(store, _may_hold_model):
        name = _stem(entry)
        url = None if store is None or name in found else locate(store, name)
        if url is not None:
            found[name] = url
    return found


def locate(store: Path, name: str) -> str | None:
    """
    Return the URL for a registration of the model with a name, or None if there is none. Blocks.

    A model is an archive of that name, a folder with a manifest, or a folder that holds one archive.
    """
    if not name or name.startswith(".") or any(mark in name for mark in "/\\\0"):
        return None
    for ending in ENDINGS:
        if os.path.exists(store / f"{name}{ending}"):
            return f"{name}{ending}"
    folder = store / name
    if _is_archive(folder):
        return name
    for place in PLACES:
        archives = archives_in(folder / place)
        if len(archives) == 1:
            return str(folder / place / archives[0])
    return None


def _names(store: Path | None, is_wanted: Callable[[Path], bool]) -> Sequence[str]:
    """Return the names of the entries that are wanted; what is hidden may be a half download."""
    if store is None:
        return []
    try:
        entries = list(store.iterdir())
    except OSError:  # whoever registers from it will be told
        return []
    wanted = (entry.name for entry in entries if _is_plain(entry.name) and is_wanted(entry))
    return nsmallest(MOST, wanted)


def _is_plain(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return not name.startswith(".")


def _is_archive(entry: Path) -> bool:
    return entry.name.endswith(ENDINGS) or os.path.isdir(entry / "MAR-INF")


def _may_hold_model(entry: Path) -> bool:
    return entry.name.endswith(ENDINGS) or os.path.isdir(entry)


def _stem(entry: str) -> str:
    """Return a name without the ending of archives."""
    for ending in ENDINGS:
        if entry.endswith(ending):
            return entry.removesuffix(ending)
    return entry
