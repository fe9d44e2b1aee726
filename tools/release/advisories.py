"""What is known to be wrong with versions of dependencies: the rows of ``etc/advisories.json``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

LIST = Path(__file__).parents[2] / "etc" / "advisories.json"

Row = Mapping[str, str]


def advisories() -> Sequence[Row]:
    """
    Return the rows of the list.

    ``kept`` says why a lower bound may be one that is affected, ``checked`` when the version with the mend
    was last compared with an advisory or a report; the range of a row without is from memory.
    """
    rows: list[Row] = json.loads(LIST.read_text("utf-8"))
    return rows


def affected(row: Row, versions: Iterable[tuple[str, str]]) -> list[str]:
    """Return which of the packages and versions an advisory is about, in words."""
    bad = SpecifierSet(row["affected"])
    return [
        f"{name} {version}: {row['id']}, {row['what']}"
        for name, version in versions
        if canonicalize_name(name) == row["package"] and bad.contains(Version(version), prereleases=True)
    ]
