"""``modelserver init``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from modelserver.cli.main import main
from modelserver.cli.project.init import FILES
from modelserver.testing import json_body, serve
from tests.harness.folder import FolderCase


class InitTests(FolderCase):
    """A new project."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.folder / "words"

    def test_the_project_works(self) -> None:
        self.assertEqual(0, main(["init", str(self.folder)]))
        self.assertEqual(sorted(FILES), sorted(path.name for path in self.folder.iterdir()))
        with serve(self.folder) as model:
            self.assertEqual({"words": 1, "different": 1}, model.predict(json_body({"text": "one"})).json())

    def test_its_own_tests_pass(self) -> None:
        main(["init", str(self.folder)])
        ran = subprocess.run(
            [sys.executable, "-m", "unittest", "-v"],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self.assertEqual(0, ran.returncode, ran.stderr)
        self.assertIn("Ran 3 tests", ran.stderr)

    def test_nothing_is_overwritten(self) -> None:
        self.folder.mkdir()
        (self.folder / "Makefile").write_text("mine")
        self.assertEqual(1, main(["init", str(self.folder)]))
        self.assertEqual(["Makefile"], [path.name for path in self.folder.iterdir()])

    def test_a_folder_that_cannot_be_made(self) -> None:
        self.folder.parent.joinpath("file").write_text("")
        self.assertEqual(1, main(["init", str(self.folder.parent / "file" / "words")]))

    def test_a_name_that_no_model_may_have(self) -> None:
        self.assertEqual(2, main(["init", "/"]))
