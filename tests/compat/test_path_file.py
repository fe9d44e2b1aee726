"""The peers' names outside of workers: toolkits and handlers' own tests import them there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

ROOT = Path(__file__).parents[2]
IMPORTS = """
import site, sys
sys.path[:] = [entry for entry in sys.path if not entry.endswith("compat")]
site.addsitedir(sys.argv[1])
from mms.service import PredictionException
from ts.context import Context
print(sys.modules["mms"].__file__, sys.path[-1])
"""


class PathFileTests(TestCase):
    """What a build has beside the packages."""

    def test_an_installation_finds_them_last(self) -> None:
        with TemporaryDirectory() as folder:
            build = [sys.executable, "setup.py", "-q", "build", "--build-base", f"{folder}/base"]
            subprocess.run(
                [*build, "--build-lib", f"{folder}/lib"],
                cwd=ROOT,
                capture_output=True,
                timeout=100,
                check=True,
            )
            ran = subprocess.run(
                [sys.executable, "-c", IMPORTS, f"{folder}/lib"],
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
            compat = f"{folder}/lib/modelserver/compat"
            self.assertEqual(ran.stdout.split(), [f"{compat}/mms/__init__.py", compat])
