"""The quickstart as a newcomer runs it: real server, worker and pictures; nothing is left of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

import psutil

from modelserver.cli.quickstart.command import samples

LONGEST = 100.0
"""Seconds after which a run is ended, and the test fails."""


def processes_in(folder: str) -> list[str]:
    """The command lines of the processes that were given this folder for temporary files."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("TMPDIR") == folder:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


class QuickstartTests(TestCase):
    """``modelserver quickstart`` in a process, with a folder of its own for temporary files."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Run it on free ports; it is ended when it takes too long."""
        process = subprocess.Popen(
            [sys.executable, "-m", "modelserver.cli.main", "quickstart", "--port", "0", *options],
            env={**os.environ, "TMPDIR": self.folder, "COLUMNS": "200"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.addCleanup(self.end, process)
        watch = threading.Timer(LONGEST, process.terminate)
        watch.start()
        self.addCleanup(watch.cancel)
        return process

    def end(self, process: subprocess.Popen[str]) -> None:
        """Leave nothing of a failed test: the quickstart ends its server when it is asked to end."""
        with process:
            process.terminate()

    def assert_nothing_left(self) -> None:
        """Fail with what is left: processes, or temporary files."""
        self.assertEqual([], processes_in(self.folder))
        self.assertEqual([], [str(path) for path in Path(self.folder).rglob("*")])

    def test_once_reads_ten_digits_and_leaves_nothing(self) -> None:
        process = self.start("--once")
        text, _ = process.communicate()
        self.assertEqual(0, process.returncode, text)
        rows = re.findall(r"^\W*(\d)-1\.png\W+(\d)\W+(\d)\W+([01]\.\d+)\W+(yes|no)\b", text, re.MULTILINE)
        self.assertEqual([str(digit) for digit in range(10)], [row[0] for row in rows], text)
        self.assertGreaterEqual(sum(row[-1] == "yes" for row in rows), 9, text)
        self.assert_nothing_left()

    def test_serves_until_interrupted_and_leaves_nothing(self) -> None:
        process = self.start()
        assert process.stdout is not None, "it is a pipe"
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Serving"):
                break
        text = "".join(lines)
        url = re.search(r"curl -T \S+ (http://\S+)", text)
        self.assertIsNotNone(url, text)
        assert url is not None, "just checked"
        headers = {"content-type": "image/png"}
        request = urllib.request.Request(url[1], samples(2)[3].read_bytes(), headers, method="PUT")
        with urllib.request.urlopen(request, timeout=30) as answer:
            self.assertRegex(answer.read().decode(), r'"digit": 3\b')
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        self.assertEqual(0, process.wait(), text + rest)
        self.assert_nothing_left()
