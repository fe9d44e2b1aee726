"""What a worker prints, in lines, and never too much of it."""

from __future__ import annotations

import os
from collections.abc import Callable

import hypothesis.strategies as st
from attrs import define, field
from hypothesis import given
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.backends.output import KEPT_LENGTH, KEPT_LINES, REDRAWN_EVERY, LineLog, OutputPipe
from modelserver.backends.output_limits import OutputLimits

LIMITS = OutputLimits(longest_line=100, lines=50, size=1000)


class LineLogCase(SynchronousTestCase):
    """One stream, with low limits."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(10)
        self.lines: list[str] = []
        self.log = LineLog(self.lines.append, self.clock, LIMITS)


class LineTests(LineLogCase):
    """Where lines end, and what is cut."""

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
        cut = 1000 * 65536 - LIMITS.longest_line
        self.assertEqual(self.lines, ["x" * LIMITS.longest_line + f" ... ({cut} bytes more)", "next"])

    def test_a_long_line_that_comes_whole_is_cut_likewise(self) -> None:
        self.log.data_received(b"first\n" + b"x" * 103 + b"\n")
        self.assertEqual(self.lines[1], "x" * 100 + " ... (3 bytes more)")

    def test_the_defaults_keep_a_record_of_64_kb_and_10000_lines(self) -> None:
        log = LineLog(self.lines.append, self.clock)
        record = "x" * 65536
        log.data_received(record.encode() + b"\n")
        log.data_received(b"".join(b"step %d\n" % step for step in range(9999)))
        self.assertEqual(self.lines[0], record)
        self.assertEqual(self.lines[1:], [f"step {step}" for step in range(9999)])

    def test_broken_text_is_shown_as_such(self) -> None:
        self.log.data_received(b"a\xffb\n")
        self.assertEqual(self.lines, ["a\ufffdb"])

    def test_the_last_lines_are_kept_in_part(self) -> None:
        log = LineLog(self.lines.append, self.clock)
        log.data_received(b"".join(b"%d\n" % number for number in range(100)) + b"x" * 10000 + b"\n")
        kept = [str(number) for number in range(101 - KEPT_LINES, 100)]
        self.assertEqual(list(log.last), [*kept, "x" * KEPT_LENGTH])

    @given(st.lists(st.text("ab \r", max_size=8)), st.lists(st.integers(1, 6)))
    def test_it_does_not_matter_how_the_bytes_are_cut(self, lines: list[str], sizes: list[int]) -> None:
        data = "".join(line + "\n" for line in lines).encode()
        whole: list[str] = []
        LineLog(whole.append, Clock()).data_received(data)
        told: list[str] = []
        log = LineLog(told.append, Clock())
        for size in sizes:
            log.data_received(data[:size])
            data = data[size:]
        log.data_received(data)
        self.assertEqual(told, whole)

    @given(st.lists(st.text("ab", max_size=5)))
    def test_ends_of_both_kinds_are_none_of_the_line(self, lines: list[str]) -> None:
        told: list[str] = []
        LineLog(told.append).data_received("".join(line + "\r\n" for line in lines).encode())
        self.assertEqual(told, lines)


class FloodTests(LineLogCase):
    """More than may be logged in a second."""

    def test_a_flood_is_cut_and_that_is_said_at_once(self) -> None:
        self.log.data_received(b"".join(b"%d\n" % number for number in range(250)))
        self.assertEqual(self.lines[:50], [str(number) for number in range(50)])
        self.assertEqual(self.lines[50:], ["(lines are dropped: more than 50 in a second)"])
        self.assertEqual(self.log.last[-1], "249")

    def test_how_much_it_was_is_said_although_nothing_more_comes(self) -> None:
        self.log.data_received(b"x\n" * 250)
        self.clock.advance(1)
        self.assertEqual(self.lines[51:], ["(200 lines were dropped: more than 50 in a second)"])

    def test_later_lines_are_logged_again(self) -> None:
        self.log.data_received(b"x\n" * 250)
        self.clock.advance(1)
        self.log.data_received(b"later\n")
        self.assertEqual(self.lines[-1], "later")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bytes_are_limited_as_lines_are(self) -> None:
        self.log.data_received((b"x" * 99 + b"\n") * 40)
        self.assertEqual(self.lines[11], "(lines are dropped: more than 1000 bytes in a second)")
        self.clock.advance(1)
        self.assertEqual(self.lines[12:], ["(29 lines were dropped: more than 1000 bytes in a second)"])

    def test_the_end_tells_what_was_dropped(self) -> None:
        self.log.data_received(b"x\n" * 57)
        self.log.ended()
        self.assertEqual(self.lines[-1], "(7 lines were dropped: more than 50 in a second)")
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ProgressTests(LineLogCase):
    """One line that is drawn again and again."""

    def test_a_bar_shows_while_it_is_drawn_and_how_it_ended(self) -> None:
        for step in range(301):
            self.log.data_received(b"\rloading: %d/300" % step)
            self.clock.advance(0.01)
        self.assertLess(len(self.lines), 6)
        self.assertGreater(len(self.lines), 2)
        self.log.data_received(b"\n")
        self.assertEqual(self.lines[-1], "loading: 300/300")
        self.assertEqual(self.lines.count("loading: 300/300"), 1)

    def test_the_state_of_a_bar_that_hangs_is_shown(self) -> None:
        self.log.data_received(b"\r10%\r20%")
        self.log.data_received(b"\r73%")
        self.clock.advance(REDRAWN_EVERY)
        self.assertEqual(self.lines[-1], "73%")
        self.log.data_received(b"\n")
        self.assertEqual(self.lines.count("73%"), 1)

    def test_states_that_end_in_the_return_are_shown_too(self) -> None:
        self.log.data_received(b"10%\r")
        self.clock.advance(REDRAWN_EVERY)
        self.log.data_received(b"20%\r")
        self.clock.advance(REDRAWN_EVERY)
        self.log.data_received(b"100%\r")
        self.log.data_received(b"saved\n")
        self.assertEqual(self.lines, ["10%", "20%", "100%", "saved"])

    def test_a_bar_that_is_wiped_leaves_its_last_state(self) -> None:
        self.log.data_received(b"\r50%\r100%\r    \r\nnext\n")
        self.assertEqual(self.lines, ["50%", "100%", "next"])

    def test_a_fast_bar_takes_no_place_of_other_lines(self) -> None:
        self.log.data_received(b"\r" + b"\r".join(b"%d" % step for step in range(5000)) + b"\nother\n")
        self.assertEqual(self.lines, ["0", "4998", "4999", "other"])
        self.assertEqual(list(self.log.last), ["4999", "other"])

    def test_the_end_of_the_stream_leaves_no_timer(self) -> None:
        self.log.data_received(b"\r1%\r2%\r3%")
        self.log.ended()
        self.assertEqual(self.lines[-1], "3%")
        self.assertEqual(self.clock.getDelayedCalls(), [])


@define(eq=False)
class WatchedDescriptors:
    """A loop that only remembers whom it watches."""

    readers: dict[int, Callable[[], object]] = field(factory=dict)

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        self.readers[fd] = callback

    def remove_reader(self, fd: int) -> None:
        del self.readers[fd]

    def add_writer(self, fd: int, callback: Callable[[], object]) -> None:
        raise NotImplementedError

    def remove_writer(self, fd: int) -> None:
        raise NotImplementedError

    def call_soon(self, callback: Callable[[], object]) -> None:
        raise NotImplementedError


class OutputPipeTests(SynchronousTestCase):
    """Our end of a pipe."""

    def setUp(self) -> None:
        self.lines: list[str] = []
        self.loop = WatchedDescriptors()
        ours, self.theirs = os.pipe()
        self.pipe = OutputPipe(self.loop, ours, LineLog(self.lines.append))
        self.pipe.open()
        self.addCleanup(self.pipe.close)

    def test_it_closes_at_the_end(self) -> None:
        os.write(self.theirs, b"one\ntwo")
        os.close(self.theirs)
        self.pipe.drain()
        self.assertEqual(self.lines, ["one", "two"])
        self.assertFalse(self.pipe.is_open)
        self.assertEqual(self.loop.readers, {})

    def test_it_can_be_closed_while_others_hold_it(self) -> None:
        os.write(self.theirs, b"said before\n")
        self.pipe.close()
        self.assertEqual(self.lines, ["said before"])
        self.assertFalse(self.pipe.is_open)
        with self.assertRaises(BrokenPipeError):
            os.write(self.theirs, b"too late\n")
        os.close(self.theirs)

    def test_draining_leaves_it_open(self) -> None:
        os.write(self.theirs, b"one\n")
        self.pipe.drain()
        self.assertEqual(self.lines, ["one"])
        self.assertTrue(self.pipe.is_open)
        os.close(self.theirs)
