"""``python -m modelserver``: the same as the command ``modelserver``, of exactly this interpreter."""

from __future__ import annotations

import sys

from modelserver.cli.programs import modelserver

if __name__ == "__main__":
    sys.exit(modelserver())
