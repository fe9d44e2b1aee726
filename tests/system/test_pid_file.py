"""The pid file: whom it names, and when it is left alone."""

from __future__ import annotations

import os

from modelserver.system.pid_file import PidFile, PidFileUnsafe
from tests.harness.folder import FolderCase


class PidFileTests(FolderCase):
    """The file is never written through, and trusted no further than its owner."""

    def setUp(self) -> None:
        super().setUp()
        self.store = self.folder / "store"
        self.store.mkdir()
        self.pid_file = PidFile(self.folder / ".model_server.pid")

    def test_holds_what_was_claimed(self) -> None:
        self.assertIsNone(self.pid_file.read())
        self.assertTrue(self.pid_file.claim(5))
        self.assertFalse(self.pid_file.claim(6))
        self.assertEqual(self.pid_file.read(), 5)
        self.pid_file.replace(7)
        self.assertEqual(self.pid_file.read(), 7)
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), [".model_server.pid", "store"])

    def test_is_removed_by_whom_it_names(self) -> None:
        self.pid_file.claim(5)
        self.pid_file.remove_if(6)
        self.assertEqual(self.pid_file.read(), 5)
        self.pid_file.remove_if(5)
        self.pid_file.remove_if(5)
        self.assertIsNone(self.pid_file.read())

    def test_what_is_no_number_is_no_process(self) -> None:
        for text in ("", "\n", "x", "-5", "12 34", "9" * 50):
            self.pid_file.path.write_text(text, "ascii")
            self.assertEqual(self.pid_file.read(), 0, text)

    def test_links_and_other_kinds_of_files_are_left_alone(self) -> None:
        victim = self.folder / "victim"
        victim.write_text("1", "ascii")
        self.pid_file.path.symlink_to(victim)
        self.assertRaises(PidFileUnsafe, self.pid_file.read)
        self.assertFalse(self.pid_file.claim(5))
        self.assertEqual(victim.read_text("ascii"), "1")
        self.pid_file.remove()
        os.mkfifo(self.pid_file.path)
        self.assertRaises(PidFileUnsafe, self.pid_file.read)
