"""What may be registered from the model store."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import nsmallest
from pathlib import Path

ENDINGS = (".mar", ".model", ".tar.gz", ".tgz", ".zip")
MOST = 1000
"""Names that are listed."""


def archives_in(store: Path | None) -> Sequence[str]:
    """Return the names of archives and of folders with a manifest in the store, by name. Blocks."""
    if store is None:
        return []
    try:
        entries = list(store.iterdir())
    except OSError:  # whoever registers from it will be told
        return []
    return nsmallest(MOST, [entry.name for entry in entries if _is_archive(entry)])


def _is_archive(entry: Path) -> bool:
    if entry.name.startswith("."):  # a half download
        return False
    try:
        entry.name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return entry.name.endswith(ENDINGS) or (entry / "MAR-INF").is_dir()
