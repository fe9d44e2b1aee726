"""
Names that the peers' modules have imported themselves, and that handlers import from there.

``from ts.torch_handler.text_handler import BaseHandler, torch`` works in the peers because the module imports
the two. Here such a name is looked up when somebody asks for it, so that a module is still imported quickly.
``names.json`` beside this file says where each comes from.
"""

from __future__ import annotations

import importlib
import json
import logging
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

LOGGER = "logging:getLogger"


def borrowed(module: str) -> Callable[[str], Any]:
    """
    Return the ``__getattr__`` of one of the peers' modules.

    It raises ``ImportError`` for a name of a package that is not installed.
    """

    def look_up(name: str) -> Any:
        origin = "" if name.startswith("_") else _table().get(module, {}).get(name, "")
        if not origin:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return logging.getLogger(module) if origin == LOGGER else _found(origin)

    return look_up


@cache
def _table() -> dict[str, dict[str, str]]:
    text = Path(__file__).with_name("names.json").read_text("utf-8")
    table: dict[str, dict[str, str]] = json.loads(text)
    return table


def _found(origin: str) -> Any:
    """The module, or the name in a module, that an origin says."""
    module, _, name = origin.partition(":")
    if not name:
        return importlib.import_module(module)
    part, holder = f"{module}.{name}", importlib.import_module(module)
    # A package has a module of it as an attribute only once somebody has imported that.
    is_module = part in _table() or not hasattr(holder, name)
    return importlib.import_module(part) if is_module else getattr(holder, name)
