"""Continuous batching in a worker: who is live at which turn, and what the handler finds."""

from __future__ import annotations

import queue
from typing import NamedTuple

from modelserver.child.context import Context
from modelserver.child.data.streaming import send_intermediate_predict_response
from modelserver.errors import BadRequest, PredictionFailed
from modelserver.jobs import Answer
from modelserver.protocol import frames
from tests.harness.loops import FORM, LONGEST, Data, LoopTestCase

ONE, TWO, THREE = bytes(15) + b"\1", bytes(15) + b"\2", bytes(15) + b"\3"


class Turn(NamedTuple):
    """What the handler saw."""

    ids: list[str]
    rows: Data
    headers: list[dict[str, object]]


class ContinuousLoopTests(LoopTestCase):
    """A handler in TorchServe's manner, which makes each turn when the test lets it."""

    mode = "continuous"

    def setUp(self) -> None:
        self.go: queue.Queue[str] = queue.Queue()
        self.turns: queue.Queue[Turn] = queue.Queue()

    def begin(self) -> None:
        """Start a loop; a turn that still waits when the test is over ends with all who are live."""
        self.start(self.handle)
        self.addCleanup(self.go.put, "fail")

    def handle(self, data: Data, context: Context) -> object:
        """Count down from each request's number; what the test says may happen instead."""
        cache: dict[str, int] = context.__dict__.setdefault("cache", {})
        ids = [each[-1] for each in (context.request_ids or {}).values()]
        headers = [dict(context.get_all_request_header(place)) for place in range(len(data))]
        self.turns.put(Turn(ids, data, headers))
        for name, row in zip(ids, data, strict=True):
            if name not in cache:
                cache[name] = int(bytes(row["body"]))  # type: ignore[call-overload]
        what = self.go.get(timeout=LONGEST)
        if what == "fail":
            raise ValueError("in the middle")
        if what == "part":
            parts = [f"part of {name}" for name in ids]
            send_intermediate_predict_response(parts, context.request_ids, "", 200, context)
        for place, name in enumerate(ids):
            cache[name] -= 1
            context.set_response_header(place, "x-left", str(cache[name]))

        def criterion(name: str) -> object:
            def is_finished(result: object) -> object:
                if what == f"criterion {name}":
                    raise KeyError(name)
                return None if what == "no word" else cache[name] <= 0

            return is_finished

        context.stopping_criteria = (
            None if what == "no criteria" else {place: criterion(name) for place, name in enumerate(ids)}  # type: ignore[misc]
        )
        return [f"{name} {cache[name]}" for name in ids]

    def ask(self, number: int, request_id: bytes, body: bytes) -> None:
        self.send(number, self.job(body, b"X-Name: n\r\n", request_id))

    def turn(self, what: str = "") -> Turn:
        """Let a turn be made; returns what the handler saw."""
        self.go.put(what)
        return self.turns.get(timeout=LONGEST)

    def test_late_joiner_is_live_beside_the_first(self) -> None:
        self.begin()
        self.ask(1, ONE, b"3")
        first = self.turns.get(timeout=LONGEST)  # the turn has begun
        self.ask(2, TWO, b"1")
        self.go.put("")
        self.assertEqual(self.bodies(frames.PART, 1), [b"1 2"])
        second = self.turn()
        self.assertEqual(self.bodies(frames.PART, 1), [b"1 1"])
        self.assertEqual(self.bodies(frames.ANSWERS, 2), [b"2 0"])
        third = self.turn()
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"1 0"])
        self.assertEqual([first.ids, second.ids, third.ids], [["1"], ["1", "2"], ["1"]])
        self.assertEqual(second.rows, [{}, {"body": bytearray(b"1")}])

    def test_old_requests_have_their_headers_but_no_types_of_fields(self) -> None:
        self.begin()
        self.ask(1, ONE, b"2")
        (new,) = self.turn().headers
        (old,) = self.turn().headers
        common = {"X-Name": "n", "url_path": "", "explain": "False"}
        self.assertEqual((new, old), ({"body": {"content-type": ""}, **common}, common))

    def test_answers_tell_whether_more_follows(self) -> None:
        self.begin()
        self.ask(1, ONE, b"2")
        heads = []
        for kind in (frames.PART, frames.ANSWERS):
            self.turn()
            (answer,) = self.receive(kind, 1)
            assert isinstance(answer, Answer)
            heads.append(answer.header_block)
        self.assertEqual(heads[0], b"\r\nx-left: 1\r\nts_stream_next: true\r\n")
        self.assertEqual(heads[1], b"\r\nx-left: 0\r\nts_stream_next: false\r\n")

    def test_request_without_a_criterion_or_its_word_is_finished(self) -> None:
        self.begin()
        for number, what in ((1, "no criteria"), (2, "no word")):
            self.ask(number, bytes(15) + bytes([number]), b"9")
            self.turn(what)
            (answer,) = self.receive(frames.ANSWERS, number)
            assert isinstance(answer, Answer)
            self.assertNotIn(b"ts_stream_next", answer.header_block)

    def test_parts_in_the_middle_of_a_turn(self) -> None:
        self.begin()
        self.ask(1, ONE, b"1")
        self.turn("part")
        self.assertEqual(self.bodies(frames.PART, 1), [b"part of 1"])
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"1 0"])

    def test_client_that_left_is_not_in_the_next_turn(self) -> None:
        self.begin()
        self.ask(1, ONE, b"9")
        self.turns.get(timeout=LONGEST)
        self.ask(2, TWO, b"9")
        self.go.put("")
        self.receive(frames.PART, 1)
        self.turns.get(timeout=LONGEST)
        self.leave(1)
        self.go.put("part")
        (error,) = self.receive(frames.ANSWERS, 1)
        assert isinstance(error, PredictionFailed)
        self.assertEqual(error.exception, "ClientsGone")
        self.assertEqual(self.bodies(frames.PART, 2), [b"part of 2"])
        self.assertEqual(self.bodies(frames.PART, 2), [b"2 8"])
        self.assertEqual(self.turn().ids, ["2"])

    def test_failure_of_a_turn_is_that_of_all_who_are_live(self) -> None:
        self.begin()
        self.ask(1, ONE, b"9")
        self.turns.get(timeout=LONGEST)
        self.ask(2, TWO, b"9")
        self.go.put("")
        self.receive(frames.PART, 1)
        self.turn("fail")
        for number in (1, 2):
            (error,) = self.receive(frames.ANSWERS, number)
            assert isinstance(error, PredictionFailed)
            self.assertEqual((error.code, error.exception), (503, "ValueError"))
        self.ask(3, THREE, b"1")
        self.turn()
        self.assertEqual(self.bodies(frames.ANSWERS, 3), [b"3 0"])

    def test_criterion_that_fails_ends_its_own_request(self) -> None:
        self.begin()
        self.ask(1, ONE, b"9")
        self.turns.get(timeout=LONGEST)
        self.ask(2, TWO, b"9")
        self.go.put("")
        self.receive(frames.PART, 1)
        self.turn("criterion 1")
        (error,) = self.receive(frames.ANSWERS, 1)
        assert isinstance(error, PredictionFailed)
        self.assertEqual((error.code, error.exception), (503, "KeyError"))
        self.assertEqual(self.bodies(frames.PART, 2), [b"2 8"])

    def test_request_that_cannot_be_read_does_not_join(self) -> None:
        self.begin()
        self.send(1, self.job(b"--B", FORM))
        (error,) = self.receive(frames.ANSWERS, 1)
        self.assertIsInstance(error, BadRequest)
        self.ask(2, TWO, b"1")
        self.assertEqual(self.turn().ids, ["2"])
