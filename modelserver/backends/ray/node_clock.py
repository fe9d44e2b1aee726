"""What a worker on another machine tells of its calls, by this machine's monotonic clock."""

from __future__ import annotations

from collections.abc import Sequence

from modelserver.errors import ServingError
from modelserver.jobs import Answer, CallMarks, TimedAnswer
from modelserver.protocol.call_times import pack_marks, read_marks


def in_our_time(marks: CallMarks, offset: float | None) -> CallMarks:
    """
    Return what a worker did when.

    :param offset: what its clock's seconds lack of ours; None: that is not known.
    """
    if offset is None:
        return marks
    more = dict(marks.more)
    steps = more.get("steps")
    if isinstance(steps, list):
        more["steps"] = [
            [step[0], step[1] + offset, step[2] + offset, *step[3:]]
            for step in steps
            if isinstance(step, list) and len(step) > 2 and _are_times(step[1:3])
        ]
    return CallMarks(marks.begun + offset, marks.called + offset, marks.returned + offset, more)


def answers_in_our_time(answers: Sequence[Answer | ServingError], offset: float | None) -> None:
    """Have those among answers that tell what was done when tell that."""
    for answer in answers:
        if type(answer) is TimedAnswer:
            answer.marks = pack_marks(*in_our_time(read_marks(answer.marks), offset)[:3])


def _are_times(values: Sequence[object]) -> bool:
    return all(isinstance(value, int | float) for value in values)
