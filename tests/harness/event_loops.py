"""Event loops that may not be installed."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

uvloop: Any = None if find_spec("uvloop") is None else import_module("uvloop")
"""The module, or None; by name, since its types are known only where it is installed."""
