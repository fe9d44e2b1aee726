"""Where this package is installed."""

from __future__ import annotations

from pathlib import Path

import modelserver

_PACKAGE = Path(modelserver.__file__).parent

ROOT = _PACKAGE.parent
"""The folder that a process must have on ``sys.path`` to import ``modelserver``."""
COMPAT = _PACKAGE / "compat"
"""The packages of the peers' names (``ts``, ``mms``) that workers see; an installed one goes before it."""
