"""Standard output whose reader is slow, gone, or a file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from tempfile import mkdtemp

from twisted.trial.unittest import SynchronousTestCase

from modelserver.logs.console import Console, PlainLines, may_block
from tests.harness.server_process import eventually

LINE = "x" * 99 + "\n"


class ConsoleTests(SynchronousTestCase):
    """A console that may keep a few lines for its reader."""

    def setUp(self) -> None:
        self.reading, self.writing = os.pipe()
        self.console = Console(self.writing, most=1000)

    def read_all(self) -> bytes:
        """What is read until the pipe ends."""
        os.close(self.writing)
        with open(self.reading, "rb") as file:
            return file.read()

    def fill(self) -> int:
        """
        Fill the pipe, and return the lines that it took.

        One that is full has room for some lines in its last page, which the thread finds sooner or later.
        """
        os.set_blocking(self.writing, False)
        lines = 0
        with contextlib.suppress(BlockingIOError):  # trial takes a module's own ``suppress`` for warnings
            while os.write(self.writing, LINE.encode()):
                lines += 1
        os.set_blocking(self.writing, True)
        return lines

    def test_lines_arrive_in_order(self) -> None:
        for number in range(5):
            self.console.write(f"line {number}\n")
        self.console.close()
        self.assertEqual(self.read_all().split(b"\n"), [b"line %d" % number for number in range(5)] + [b""])

    def test_nothing_in_an_event_steers_a_terminal(self) -> None:
        lines = PlainLines(self.console)
        for text in (
            "plain \u00e9\n",
            "\x1b[31mred\x1b[0m, \x1b]0;title\x07 \x1b[2J\r\x9b2J\n",
            "two\n\t\x08lines\n",
        ):
            lines.write(text)
        self.console.close()
        said = self.read_all().decode()
        self.assertEqual(said.split("\n"), ["plain \u00e9", "red,  \\x0d", "two", "\t\\x08lines", ""])

    def test_a_reader_that_stops_costs_lines_that_are_counted(self) -> None:
        written = self.fill()
        while not self.console.dropped:
            self.console.write(LINE)
            written += 1
        self.console.write(LINE * 3)
        self.assertEqual(self.console.dropped, 4)
        for _ in range(written - 1):
            self.assertEqual(os.read(self.reading, len(LINE)), LINE.encode())

        def is_written_again() -> bool:
            self.console.write("again\n")
            return not self.console.dropped

        eventually(is_written_again)
        self.console.close()
        self.assertEqual(set(self.read_all().split(b"\n")), {b"again", b""})

    def test_more_than_may_wait_is_written_where_nothing_waits(self) -> None:
        self.console.write(LINE * 100)
        self.console.close()
        self.assertEqual(self.console.dropped, 0)
        self.assertEqual(self.read_all(), LINE.encode() * 100)

    def test_a_reader_that_is_gone(self) -> None:
        os.close(self.reading)
        for _ in range(3):
            self.console.write(LINE)
        self.console.close()
        os.close(self.writing)

    def test_a_file_is_written_at_once(self) -> None:
        path = Path(mkdtemp()) / "out"
        with path.open("wb") as file:
            Console(file.fileno()).write("a line\n")
            self.assertFalse(may_block(file.fileno()))
        self.assertEqual(path.read_text(), "a line\n")
        with open("/dev/null", "wb") as null:
            self.assertFalse(may_block(null.fileno()))
        self.assertTrue(may_block(self.writing))
        self.read_all()
