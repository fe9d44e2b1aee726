"""
The licences that installed packages say of themselves.

As a program it prints the version and the licence of everything in its environment; it needs no other module,
so that any interpreter can run it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distribution, distributions
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from packaging.requirements import Requirement


def licence(metadata: Any) -> str:
    """Return the licence of a package: its expression, its classifiers, or the first line of its text."""
    classifiers = [each.split(" :: ") for each in metadata.get_all("Classifier") or []]
    names = [parts[-1] for parts in classifiers if parts[0] == "License"]
    text = (metadata.get("License") or "").strip().split("\n")[0]
    return metadata.get("License-Expression") or "; ".join(names) or text


def dependencies(wanted: Iterable[Requirement]) -> set[str]:
    """Return the names of packages, and of all that they need, as far as they are installed here."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    found: set[str] = set()
    done: set[tuple[str, frozenset[str]]] = set()
    left = list(wanted)
    while left:
        one = left.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in done:
            continue
        done.add(key)
        try:
            needs = distribution(one.name).requires or []
        except PackageNotFoundError:
            continue
        found.add(key[0])
        for need in map(Requirement, needs):
            extras = one.extras or {""}
            if need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in extras):
                left.append(need)
    return found


def licences(names: Iterable[str]) -> Mapping[str, str]:
    """Return the licence of each installed package, by its name, in order."""
    return {name: licence(distribution(name).metadata) for name in sorted(names)}


def main() -> None:
    """Print what this environment has."""
    print(
        json.dumps(
            {each.metadata["Name"]: [each.version, licence(each.metadata)] for each in distributions()}
        )
    )


if __name__ == "__main__":
    main()
