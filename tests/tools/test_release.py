"""What a release refuses, and what makes its builds equal."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from tests.harness.folder import FolderCase
from tools.release.building import hashes, settle
from tools.release.sources import VERSION_FILE, Unreleasable, checked_version, set_version, version_in


class VersionTests(FolderCase):
    """The version of a release."""

    def test_a_newer_one_is_taken_and_spelled_as_packages_do(self) -> None:
        self.assertEqual("0.2.0", checked_version("0.2.0", "0.1.0"))
        self.assertEqual("0.2rc1", checked_version("v0.2-rc.1", "0.1.0"))

    def test_others_are_refused(self) -> None:
        for text in ("0.1.0", "0.0.9", "0.1.0rc1", "next", ""):
            with self.subTest(text), self.assertRaises(Unreleasable):
                checked_version(text, "0.1.0")

    def test_it_is_read_and_written_in_the_package(self) -> None:
        file = self.folder / VERSION_FILE
        file.parent.mkdir()
        file.write_text('"""Package."""\n\n__version__ = "0.1.0"\n')
        self.assertEqual("0.1.0", version_in(self.folder))
        set_version(self.folder, "0.2.0")
        self.assertEqual('"""Package."""\n\n__version__ = "0.2.0"\n', file.read_text())
        file.write_text("nothing")
        with self.assertRaises(Unreleasable):
            version_in(self.folder)


class SettleTests(FolderCase):
    """Source archives of two machines."""

    def archive(self, name: str, time: int, mode: int, names: list[str]) -> Path:
        """Pack two files, as a machine with its own clock, umask and order of files does."""
        archive = self.folder / name / "p-1.tar.gz"
        archive.parent.mkdir()
        with tarfile.open(archive, "w:gz") as packed:
            for each in names:
                file = self.folder / name / each
                file.write_text(each)
                os.utime(file, (time, time))
                file.chmod(mode)
                packed.add(file, f"p-1/{each}")
                file.unlink()
        return archive

    def test_time_owner_mode_and_order_do_not_count(self) -> None:
        one = self.archive("one", 1_700_000_000, 0o644, ["a.py", "b.py"])
        two = self.archive("two", 1_800_000_000, 0o600, ["b.py", "a.py"])
        self.assertNotEqual(hashes(one.parent), hashes(two.parent))
        for each in (one, two):
            settle(each, 1_600_000_000)
        self.assertEqual(hashes(one.parent), hashes(two.parent))

    def test_the_content_stays(self) -> None:
        archive = self.archive("one", 1_700_000_000, 0o755, ["run"])
        settle(archive, 1_600_000_000)
        with tarfile.open(archive) as packed:
            [entry] = packed.getmembers()
            content = packed.extractfile(entry)
            assert content is not None
            self.assertEqual(b"run", content.read())
            self.assertEqual(("p-1/run", 0o755, 1_600_000_000), (entry.name, entry.mode, entry.mtime))
