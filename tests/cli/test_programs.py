"""The programs that this package installs: what each runs, and how it ends when it is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path
from unittest import TestCase, mock

from modelserver.cli import programs
from modelserver.system import interrupts

ROOT = Path(__file__).parents[2]
INTERRUPTED = """
import importlib, os, signal
from modelserver.cli import programs
importlib.import_module = lambda name: os.kill(os.getpid(), signal.SIGINT)
programs.modelserver()
"""


class ProgramTests(TestCase):
    """Those of ``setup.cfg``."""

    def installed(self) -> dict[str, str]:
        """Each program's name, and the function that it calls."""
        metadata = ConfigParser()
        metadata.read(ROOT / "setup.cfg")
        lines = metadata["options.entry_points"]["console_scripts"].split("\n")
        return dict(line.split(" = ") for line in lines if line)

    def test_each_runs_what_is_there(self) -> None:
        for name, program in self.installed().items():
            module, _, function = program.partition(":")
            found = getattr(import_module(module), function)
            self.assertIsInstance(found, programs.Program)
            self.assertTrue(callable(getattr(import_module(found.module), found.function)), name)

    def test_interrupt_ends_it_by_the_signal_without_a_word(self) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, timeout=60, check=False
        )
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (-signal.SIGINT, b"", b""))

    def test_hook_of_somebody_else_stays(self) -> None:
        def own(*told: object) -> None:
            """Not ours."""

        with mock.patch.object(sys, "excepthook", own):
            interrupts.end_quietly()
            self.assertIs(sys.excepthook, own)

    def test_other_exceptions_are_shown(self) -> None:
        with mock.patch.object(sys, "__excepthook__") as shown, mock.patch.object(sys, "excepthook", shown):
            interrupts.end_quietly()
            error = ValueError("no")
            sys.excepthook(ValueError, error, None)
            sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        shown.assert_called_once_with(ValueError, error, None)
