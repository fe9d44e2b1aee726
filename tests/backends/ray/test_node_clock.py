"""Times of a worker on another machine, by ours."""

from __future__ import annotations

from unittest import TestCase

from modelserver.backends.ray.node_clock import answers_in_our_time, in_our_time
from modelserver.errors import PredictionFailed
from modelserver.jobs import Answer, CallMarks, TimedAnswer
from modelserver.protocol.call_times import pack_marks, read_marks


class NodeClockTests(TestCase):
    """Clocks that differ by ten seconds, or by nobody knows how much."""

    def test_times_and_steps_are_moved(self) -> None:
        steps = [["step", 2.0, 3.0, -1, {}], ["no time", "2", 3.0], "none"]
        moved = in_our_time(CallMarks(1.0, 2.0, 3.0, {"steps": steps, "failed": "E"}), 10.0)
        more = {"steps": [["step", 12.0, 13.0, -1, {}]], "failed": "E"}
        self.assertEqual(CallMarks(11.0, 12.0, 13.0, more), moved)
        marks = CallMarks(1.0, 2.0, 3.0)
        self.assertIs(marks, in_our_time(marks, None))

    def test_times_in_answers_are_moved(self) -> None:
        answer = TimedAnswer(200, b"", b"x")
        answer.marks = pack_marks(1.0, 2.0, 3.0)
        answers = Answer(200, b"", b"y"), answer, PredictionFailed(500, "message")
        answers_in_our_time(answers, None)
        self.assertEqual(CallMarks(1.0, 2.0, 3.0), read_marks(answer.marks))
        answers_in_our_time(answers, 10.0)
        self.assertEqual(CallMarks(11.0, 12.0, 13.0), read_marks(answer.marks))
