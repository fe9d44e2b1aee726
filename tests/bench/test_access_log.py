"""What the access log costs is told from the sums of many short turns."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase

from bench.access_log import Sums, sheet

SWITCHED = """
import json, os, sys
from pathlib import Path
from bench import access_switch
from modelserver.logs.writer import AccessLogWriter

written = []

class Layout:
    def access(self, requests):
        written.extend(requests)
        return "own", "root"

class LineBuffer:
    def add(self, line): pass
    def flush(self): pass

access_switch.TURN = 3600.0
path = Path(sys.argv[1])
switch = access_switch.Switch(os.open(path, os.O_WRONLY | os.O_CREAT))
switch.install()
log = AccessLogWriter(Layout(), LineBuffer(), LineBuffer(), lambda: 1.0, lambda: None)
seen = []
for count in (1, 2, 3):
    for _ in range(count):
        log.record("/x", ("GET", "/", "HTTP/1.1"), 200, 1.0, b"")
    os.kill(os.getpid(), access_switch.signal.SIGALRM)
    seen.append(len(written))
print(json.dumps([seen, json.loads(path.read_text())["requests"]]))
"""
"""On for one request, off for two, on for three."""


class SumsTests(TestCase):
    """The table."""

    def test_the_cost_is_that_of_all_rounds_together(self) -> None:
        rounds = [Sums((1000, 1000), (0.05, 0.051)), Sums((3000, 1000), (0.15, 0.053))]
        first, _, last = sheet(rounds).rows
        self.assertEqual(first, ("1", "1,000", "1,000", "50.0", "51.0", "+2.0 %"))
        self.assertEqual(last, ("all", "4,000", "2,000", "50.0", "52.0", "+4.0 %"))

    def test_no_requests_cost_nothing(self) -> None:
        self.assertEqual(Sums((0, 0), (0.1, 0.1)).cost, 0.0)


class SwitchTests(TestCase):
    """The switch, in a process of its own."""

    def test_lines_are_written_in_every_other_turn_and_all_requests_are_counted(self) -> None:
        with TemporaryDirectory() as folder:
            ran = subprocess.run(
                [sys.executable, "-c", SWITCHED, str(Path(folder) / "sums")],
                capture_output=True,
                timeout=60,
                check=True,
                cwd=Path(__file__).parents[2],
            )
        self.assertEqual(ran.stdout.decode().strip(), "[[1, 1, 4], [2, 4]]")
