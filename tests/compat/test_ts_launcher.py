"""Scripts that start a server by ``ts.launcher``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.system.installation import COMPAT

COMMAND = """#!{python}
import sys
print("torchserve", *sys.argv[1:], flush=True)
if "--start" in sys.argv:
    print("Model server started.", flush=True)
    print("a line of the log", flush=True)
"""
SCRIPT = """
import sys
sys.path.append(sys.argv[1])
from ts.launcher import start
lines = start(model_store="store", snapshot_file="c.properties", models="all", disable_token=True)
print("serves")
while (line := lines.get(timeout=60)) is not None:
    print("got", line.strip())
"""


class LauncherTests(TestCase):
    """The ``torchserve`` command is run as the peer's module does."""

    def test_start(self) -> None:
        with TemporaryDirectory() as folder:
            command = Path(folder) / "torchserve"
            command.write_text(COMMAND.format(python=sys.executable))
            command.chmod(0o755)
            ran = subprocess.run(
                [sys.executable, "-u", "-c", SCRIPT, str(COMPAT)],
                env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                timeout=60,
                check=True,
            )
        options = "--model-store store --ts-config c.properties --models all --disable-token-auth"
        self.assertEqual(
            [
                "torchserve --stop --foreground",
                f"torchserve --start --foreground {options}",
                "Model server started.",
            ],
            ran.stdout.splitlines()[:3],
        )
        self.assertIn("got a line of the log", ran.stdout.splitlines())
