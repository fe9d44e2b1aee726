"""Imports modules as if an optional library, which they would load for nothing, were not installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def without(name: str) -> Iterator[None]:
    """
    Let what is imported within believe that a library is not installed, as its importers allow.

    One that is loaded already is not left out.
    """
    if name in sys.modules:
        yield
        return
    modules = cast(dict[str, ModuleType | None], sys.modules)
    modules[name] = None  # an import of it fails
    try:
        yield
    finally:
        del modules[name]
