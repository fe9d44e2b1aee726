"""Handlers that refuse single requests, in every kind of loop."""

from __future__ import annotations

from typing import Any

from modelserver.child.context import Context, PredictionException
from modelserver.child.data.refusals import opened
from modelserver.child.data.streaming import send_intermediate_predict_response
from modelserver.errors import PredictionFailed
from modelserver.jobs import Answer
from modelserver.protocol import frames
from tests.harness.loops import LoopTestCase

BODIES = (b"1", b"x", b"3")


def doubled(data: Any, context: Context) -> object:
    """Twice each number; what is none is refused."""
    return [str(2 * number) for number in opened(data, lambda row: int(bytes(row["body"])))]


async def doubled_later(data: Any, context: Context) -> object:
    """The same, awaited."""
    return doubled(data, context)


class RefusedRowsTests(LoopTestCase):
    """Three requests, of which the second is refused."""

    def outcome(self, kind: int = frames.ANSWERS) -> list[object]:
        """The bodies of the answers, and the codes of the errors."""
        return [
            bytes(answer.body) if isinstance(answer, Answer) else getattr(answer, "code", None)
            for answer in self.receive(kind, 1)
        ]

    def test_batches(self) -> None:
        self.start(doubled)
        self.send(1, *map(self.job, BODIES))
        self.assertEqual(self.outcome(), [b"2", 400, b"6"])

    def test_side_by_side(self) -> None:
        self.mode = "concurrent"
        self.start(doubled_later)
        self.send(1, *map(self.job, BODIES))
        self.assertEqual(self.outcome(), [b"2", 400, b"6"])

    def test_continuous(self) -> None:
        def handle(data: Any, context: Context) -> object:
            context.stopping_criteria = {
                place: lambda result: bool(str(result)) for place in range(len(data))
            }
            return [PredictionException("no", 415)] * len(data)

        self.mode = "continuous"
        self.start(handle)
        self.send(1, self.job(b"x"))
        (answer,) = self.receive(frames.ANSWERS, 1)
        assert isinstance(answer, PredictionFailed)
        self.assertEqual((answer.code, answer.message), (415, "no"))

    def test_stream_of_the_others(self) -> None:
        def handle(data: Any, context: Context) -> object:
            numbers = opened(data, lambda row: int(bytes(row["body"])))
            send_intermediate_predict_response(
                [f"part {number}" for number in numbers], context.request_ids, "", 200, context
            )
            return [f"end {number}" for number in numbers]

        self.start(handle)
        self.send(1, *map(self.job, BODIES))
        self.assertEqual(self.outcome(frames.PART), [b"part 1", b"", b"part 3"])
        self.assertEqual(self.outcome(), [b"end 1", 400, b"end 3"])
