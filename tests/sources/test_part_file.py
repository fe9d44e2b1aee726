"""A download's file is whole under its name, or is nowhere."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from modelserver.sources.part_file import PartFile, sweep
from tests.harness.sources import names_in


class PartFileTests(SynchronousTestCase):
    """What is on disk after each step."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.part = PartFile(self.folder / "x.mar", "0a")

    def test_published_file_is_whole(self) -> None:
        self.part.open()
        self.part.write(b"ab")
        self.part.write(b"c")
        self.assertEqual(names_in(self.folder), [".x.mar.0a.part"])
        self.part.publish()
        self.assertEqual(names_in(self.folder), ["x.mar"])
        self.assertEqual((self.folder / "x.mar").read_bytes(), b"abc")

    def test_nothing_is_replaced(self) -> None:
        (self.folder / "x.mar").write_bytes(b"old")
        self.assertRaises(FileExistsError, self.part.open)
        self.assertEqual(names_in(self.folder), ["x.mar"])

    def test_nothing_is_replaced_at_the_end(self) -> None:
        self.part.open()
        (self.folder / "x.mar").write_bytes(b"old")
        self.assertRaises(FileExistsError, self.part.publish)
        self.part.discard()
        self.assertEqual(names_in(self.folder), ["x.mar"])
        self.assertEqual((self.folder / "x.mar").read_bytes(), b"old")

    def test_discard_removes_it_at_any_step(self) -> None:
        for count in range(4):
            self.part = PartFile(self.folder / "x.mar", "0a")
            for step in (self.part.open, lambda: self.part.write(b"a"), self.part.publish)[:count]:
                step()
            self.part.discard()
            self.part.discard()
            self.assertEqual(names_in(self.folder), [], count)

    def test_nothing_comes_back_after_discard(self) -> None:
        self.part.discard()
        self.part.open()
        self.part.write(b"a")
        self.part.publish()
        self.assertEqual(names_in(self.folder), [])

    def test_what_cannot_be_removed_stays_and_hides_no_reason(self) -> None:
        self.part.path.mkdir()  # it cannot be unlinked, as no file can in a store that cannot be written to
        self.assertRaises(FileExistsError, self.part.open)
        self.part.discard()
        self.assertEqual(names_in(self.folder), [".x.mar.0a.part"])


class SweepTests(SynchronousTestCase):
    """What a server that was killed has left goes; what is in use, or not a download's, stays."""

    def test_only_what_nobody_writes_goes(self) -> None:
        with TemporaryDirectory() as name:
            folder = Path(name)
            used = PartFile(folder / "y.mar", "0123abcd")
            used.open()
            for other in (".x.mar.0a1b2c3d.part", ".x.mar.part", "x.mar", "x.0a1b2c3d.part", ".old.part"):
                (folder / other).touch()
            (folder / ".f.mar.0a1b2c3d.part").mkdir()
            (folder / ".l.mar.0a1b2c3d.part").symlink_to(folder / "x.mar")
            self.assertEqual([path.name for path in sweep(folder)], [".x.mar.0a1b2c3d.part"])
            self.assertEqual(len(list(folder.iterdir())), 7)
            used.publish()
            self.assertEqual(sweep(folder), [])
            self.assertTrue(used.target.exists())

    def test_a_folder_that_is_not_there(self) -> None:
        self.assertRaises(OSError, sweep, Path("/nowhere/at/all"))
