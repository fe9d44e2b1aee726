"""How large a model is on disk."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from modelserver.archive.sizes import archive_size


class SizeTests(SynchronousTestCase):
    """Archives and folders."""

    def test_a_file_has_its_size(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(b"x" * 123)
        self.assertEqual(archive_size(path), 123)

    def test_a_folder_has_that_of_its_files_also_behind_links(self) -> None:
        weights = Path(self.mktemp())
        weights.write_bytes(b"w" * 1000)
        folder = Path(self.mktemp())
        (folder / "inner").mkdir(parents=True)
        (folder / "handler.py").write_bytes(b"h" * 10)
        (folder / "inner" / "weights.bin").symlink_to(weights.resolve())
        (folder / "inner" / "nowhere").symlink_to("gone")
        self.assertEqual(archive_size(folder), 1010)

    def test_what_is_not_there_has_none(self) -> None:
        self.assertEqual(archive_size(Path(self.mktemp())), 0)
