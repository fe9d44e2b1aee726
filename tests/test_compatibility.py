"""The tables of ``docs/compatibility.md`` say what the code does."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from twisted.internet.task import Clock

from modelserver.logs.writer import LogInputs, Logs, LogSettings
from tests.harness.compatibility_tables import DOCUMENT, LOG_FILES, filled


class CompatibilityTests(TestCase):
    """The document cannot go stale."""

    def test_tables_are_those_of_the_code(self) -> None:
        document = DOCUMENT.read_text("utf-8")
        self.assertEqual(
            document,
            filled(document),
            "run: python -m tests.harness.compatibility_tables (it writes the tables)",
        )

    def test_log_files_are_those_that_are_written(self) -> None:
        for dialect, column in (("torchserve", 0), ("mms", 1)):
            with TemporaryDirectory() as folder:
                settings = LogSettings(Path(folder), Path(folder), dialect)
                clock = Clock()
                logs = Logs(settings, LogInputs(clock, clock.seconds, lambda call: call()))
                logs.open()
                logs.close()
                written = {path.name for path in Path(folder).iterdir()}
            self.assertEqual(written, {row[column] for row in LOG_FILES}, dialect)
