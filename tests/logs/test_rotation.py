"""Files of lines: appended to, put aside, compressed, removed; and never in the way of a request."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from modelserver.logs.rotation import RotatingFile, Rotation, remove_old
from tests.harness.threads import at_once

DAY = 86400.0
NOON = 1_700_000_000.0


def full(function: Callable[..., Any], /, *args: Any, **more: Any) -> Deferred[Any]:
    """Instead of a thread: a full disk."""
    return fail(OSError("full"))


class RotatingFileTests(SynchronousTestCase):
    """Lines are appended; a file that is full or of yesterday goes aside."""

    def setUp(self) -> None:
        self.folder = Path(mkdtemp()) / "logs"
        self.path = self.folder / "access_log.log"
        self.now = NOON

    def file(self, rotation: Rotation | None = None) -> RotatingFile:
        file = RotatingFile(self.path, lambda: self.now, rotation or Rotation(largest=10))
        self.addCleanup(file.close)
        return file

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())

    def test_folder_and_file_are_made(self) -> None:
        self.file().open()
        self.assertEqual(self.names(), ["access_log.log"])

    def test_lines_are_appended_to_what_is_there(self) -> None:
        file = self.file()
        file.write("a\n")
        file.close()
        os.utime(self.path, (NOON, NOON))
        file.write("b\n")
        self.assertEqual(self.path.read_text(), "a\nb\n")

    def test_file_that_somebody_else_has_renamed_is_made_anew(self) -> None:
        file = self.file()
        file.write("a\n")
        self.path.rename(self.folder / "aside")
        file.write("b\n")
        self.now += 1
        file.write("c\n")
        self.assertEqual((self.folder / "aside").read_text(), "a\nb\n")
        self.assertEqual(self.path.read_text(), "c\n")

    def test_folder_that_somebody_has_removed_is_made_anew(self) -> None:
        file = self.file()
        file.write("a\n")
        shutil.rmtree(self.folder)
        self.now += 1
        file.write("b\n")
        self.assertEqual(self.path.read_text(), "b\n")

    def test_file_that_was_copied_and_cut_off_goes_on_at_its_beginning(self) -> None:
        file = self.file()
        file.write("a\n")
        os.truncate(self.path, 0)
        self.now += 1
        file.write("b\n")
        self.assertEqual(self.path.read_text(), "b\n")

    def test_text_that_is_no_text(self) -> None:
        self.file().write("ä\ud800\n")
        self.assertEqual(self.path.read_text("utf-8"), "ä\\ud800\n")

    def test_full_file_goes_aside(self) -> None:
        file = self.file()
        for text in ("12345\n", "678\n", "90\n", "x" * 30 + "\n", "y\n"):
            file.write(text)
        day = "14-Nov" if "access_log.14-Nov.log" in self.names() else "15-Nov"
        self.assertEqual(
            self.names(),
            [f"access_log.{day}.1.log", f"access_log.{day}.2.log", f"access_log.{day}.log", "access_log.log"],
        )
        self.assertEqual((self.folder / f"access_log.{day}.log").read_text(), "12345\n678\n")
        self.assertEqual((self.folder / f"access_log.{day}.1.log").read_text(), "90\n")
        self.assertEqual(self.path.read_text(), "y\n")

    def test_file_of_yesterday_goes_aside(self) -> None:
        file = self.file()
        file.write("a\n")
        self.now += DAY
        file.write("b\n")
        self.assertEqual(len(self.names()), 2)
        self.assertEqual(self.path.read_text(), "b\n")

    def test_file_of_a_server_that_ran_yesterday_goes_aside(self) -> None:
        self.file().write("a\n")
        os.utime(self.path, (NOON - DAY, NOON - DAY))
        self.file().write("b\n")
        self.assertEqual(self.path.read_text(), "b\n")

    def test_what_goes_aside_is_compressed_in_a_thread(self) -> None:
        file = self.file(Rotation(10, 5, at_once))
        for text in ("12345678\n", "2345678\n", "345\n"):
            file.write(text)
        packed = [name for name in self.names() if name.endswith(".gz")]
        self.assertEqual(len(packed), 2)
        self.assertEqual(len(self.names()), 3)
        contents = {gzip.decompress((self.folder / name).read_bytes()) for name in packed}
        self.assertEqual(contents, {b"12345678\n", b"2345678\n"})

    def test_failed_compression_is_logged_and_the_lines_stay(self) -> None:
        file = self.file(Rotation(10, 5, full))
        with capturedLogs() as events:
            file.write("12345678\n")
            file.write("2345678\n")
        self.assertEqual(len(events), 1)
        self.flushLoggedErrors(OSError)
        self.assertEqual(len(self.names()), 2)

    def test_old_ones_are_removed(self) -> None:
        file = self.file(Rotation(10, 3))
        for number in range(8):
            file.write(f"{number}23456789\n")
            for age, path in enumerate(sorted(self.folder.glob("access_log.*.log"))):
                os.utime(path, (NOON + age, NOON + age))
        self.assertEqual(len(self.names()), 4)

    def test_newest_are_kept_and_other_files_too(self) -> None:
        self.folder.mkdir()
        for age, name in enumerate(("01-Nov.log.gz", "02-Nov.log", "02-Nov.1.log.gz", "03-Nov.log.gz")):
            path = self.folder / f"access_log.{name}"
            path.touch()
            os.utime(path, (NOON + age, NOON + age))
        for other in ("access_log.mine.log", "model_log.01-Nov.log.gz", "access_log.log"):
            (self.folder / other).touch()
        remove_old(self.path, 2)
        self.assertEqual(
            self.names(),
            [
                "access_log.02-Nov.1.log.gz",
                "access_log.03-Nov.log.gz",
                "access_log.log",
                "access_log.mine.log",
                "model_log.01-Nov.log.gz",
            ],
        )

    def test_folder_that_cannot_be_written_is_told_once(self) -> None:
        self.folder.write_text("this is no folder")
        file = self.file()
        with capturedLogs() as events:
            file.open()
            file.write("a\n")
            file.write("b\n")
        self.assertEqual(len(events), 1)
        self.folder.unlink()
        file.write("c\n")
        self.assertEqual(self.path.read_text(), "c\n")
