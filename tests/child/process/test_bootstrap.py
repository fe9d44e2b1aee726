"""The first acts of a worker process."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from modelserver.child.process.bootstrap import go_first_in_shortage


class ShortageTests(TestCase):
    """``go_first_in_shortage``."""

    def after(self, before: str) -> str:
        """What the kernel is told of a process of which it had been told ``before``."""
        with TemporaryDirectory() as folder:
            path = Path(folder) / "oom_score_adj"
            path.write_text(before)
            go_first_in_shortage(str(path))
            # The kernel takes each write for itself; a file has them behind each other.
            return path.read_text()[len(before) :]

    def test_goes_before_who_has_started_it(self) -> None:
        for before, after in (("0\n", "300"), ("-900\n", "-600"), ("800\n", "1000")):
            self.assertEqual(after, self.after(before))

    def test_where_nothing_can_be_told_nothing_happens(self) -> None:
        go_first_in_shortage("/no/such/file")
        self.assertEqual("", self.after("no number"))
