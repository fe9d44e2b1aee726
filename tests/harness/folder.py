"""A fresh folder for each test."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase


class FolderCase(SynchronousTestCase):
    """
    A fresh folder for each test.

    :ivar folder: it is deleted after the test, with everything in it.
    """

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
