"""What a worker prints, in lines, and never too much of it."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.output import KEPT_LINES, LINES_PER_SECOND, LONGEST_LINE, LineLog


class LineLogTests(SynchronousTestCase):
    """One stream."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(10)
        self.lines: list[str] = []
        self.log = LineLog(self.lines.append, self.clock.seconds)

    def test_lines_are_told_whole(self) -> None:
        self.log.data_received(b"one\ntw")
        self.log.data_received(b"o\r\n\nthr")
        self.assertEqual(self.lines, ["one", "two", ""])
        self.log.ended()
        self.assertEqual(self.lines, ["one", "two", "", "thr"])

    def test_a_line_without_an_end_takes_no_memory(self) -> None:
        for _ in range(1000):
            self.log.data_received(b"x" * 65536)
        self.assertEqual(self.lines, [])
        self.log.data_received(b"\nnext\n")
        cut = 1000 * 65536 - LONGEST_LINE
        self.assertEqual(self.lines, ["x" * LONGEST_LINE + f" ... ({cut} bytes more)", "next"])

    def test_broken_text_is_shown_as_such(self) -> None:
        self.log.data_received(b"a\xffb\n")
        self.assertEqual(self.lines, ["a\ufffdb"])

    def test_a_flood_is_cut_and_counted(self) -> None:
        self.log.data_received(b"".join(b"%d\n" % number for number in range(5 * LINES_PER_SECOND)))
        self.assertEqual(len(self.lines), LINES_PER_SECOND)
        self.assertEqual(self.log.last[-1], str(5 * LINES_PER_SECOND - 1))
        self.clock.advance(1)
        self.log.data_received(b"later\n")
        self.assertIn(f"({4 * LINES_PER_SECOND} lines were dropped", self.lines[-2])
        self.assertEqual(self.lines[-1], "later")

    def test_the_end_tells_what_was_dropped(self) -> None:
        self.log.data_received(b"x\n" * (LINES_PER_SECOND + 7))
        self.log.ended()
        self.assertIn("(7 lines were dropped", self.lines[-1])

    def test_the_last_lines_are_kept(self) -> None:
        self.log.data_received(b"".join(b"%d\n" % number for number in range(100)))
        self.assertEqual(list(self.log.last), [str(number) for number in range(100 - KEPT_LINES, 100)])

    @given(st.lists(st.text("ab\r", max_size=5)), st.lists(st.integers(1, 6)))
    def test_it_does_not_matter_how_the_bytes_are_cut(self, lines: list[str], sizes: list[int]) -> None:
        told: list[str] = []
        log = LineLog(told.append)
        data = "".join(line + "\n" for line in lines).encode()
        for size in sizes:
            log.data_received(data[:size])
            data = data[size:]
        log.data_received(data)
        self.assertEqual(told, [line.rstrip("\r") for line in lines])
