"""Whether a cluster lets in who has no token, told by a process that tries with a Ray of the test's."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.backends.ray.token_probe import lets_anybody_in

RAY = """
import os

def init(address, **options):
    assert "RAY_AUTH_TOKEN" not in os.environ and os.environ["RAY_AUTH_MODE"] == "disabled"
    {what}
"""


class TokenProbeTests(TestCase):
    """A cluster is taken for one that asks for tokens only where it did."""

    def ask(self, what: str) -> bool:
        """Try to join a cluster where Ray's ``init`` does this."""
        with TemporaryDirectory() as folder:
            (Path(folder) / "ray.py").write_text(RAY.format(what=what))
            paths = os.pathsep.join((folder, os.environ.get("PYTHONPATH", "")))
            environment = {**os.environ, "PYTHONPATH": paths, "RAY_AUTH_TOKEN": "t", "RAY_AUTH_MODE": "token"}
            return lets_anybody_in("h:1", environment)

    def test_who_gets_in(self) -> None:
        self.assertTrue(self.ask("pass"))

    def test_who_is_left_out(self) -> None:
        self.assertFalse(self.ask("raise ConnectionError"))

    def test_who_could_not_try(self) -> None:
        for what in ("raise RuntimeError", "os.kill(os.getpid(), 9)"):
            with self.assertRaisesRegex(RuntimeError, "the cluster at h:1 .* cannot be told: who tried"):
                self.ask(what)
