"""The order of a model's versions, which are free texts."""

from __future__ import annotations

from collections.abc import Iterable


def in_order(versions: Iterable[str]) -> list[str]:
    """Return versions, older ones first: by PEP 440 where each is one of its versions, else as texts."""
    # Most models have one version, and a server starts without this.
    from packaging.version import InvalidVersion, Version

    texts = sorted(versions)
    try:
        return sorted(texts, key=Version)
    except InvalidVersion:
        return texts
