"""A short storm of management calls; ``management_storm.py`` makes longer ones."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

import pytest

from tests.harness.server_process import ServerProcess, ServerTests
from tests.integration.management_storm import OPEN, Call, alternates, prepare, run

pytestmark = pytest.mark.slow


@pytest.mark.timeout(600)
class StormTests(ServerTests):
    """Five seconds of what the script does for a minute."""

    def test_some_order_explains_the_end(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-storm-")
        self.addCleanup(folder.cleanup)
        server = ServerProcess(Path(folder.name), OPEN)
        prepare(server)
        server.start()
        self.addCleanup(server.end)
        wrong, calls = run(server, 5.0, 200)
        self.assertEqual([], wrong)
        self.assertGreaterEqual(len(calls), 200)
        self.assertEqual([], [line for line in server.lines if "Traceback" in line])


class AlternationTests(TestCase):
    """The check itself: what it takes for explained."""

    def check(self, *rows: tuple[str, float, float]) -> bool:
        return alternates([Call(kind, "a", "1.0", begun, ended, 200, "") for kind, begun, ended in rows])

    def test_explained(self) -> None:
        self.assertTrue(self.check())
        self.assertTrue(self.check(("register", 0, 1), ("unregister", 2, 3), ("register", 4, 5)))
        self.assertTrue(self.check(("register", 0, 9), ("register", 0, 5), ("unregister", 4, 6)))
        self.assertTrue(self.check(("unregister", 0, 2), ("register", 1, 3)))

    def test_unexplained(self) -> None:
        self.assertFalse(self.check(("register", 0, 1), ("register", 2, 3)))
        self.assertFalse(self.check(("unregister", 0, 1)))
        self.assertFalse(self.check(("unregister", 0, 1), ("register", 2, 3)))
        self.assertFalse(self.check(("register", 0, 1), ("register", 2, 3), ("unregister", 4, 5)))
