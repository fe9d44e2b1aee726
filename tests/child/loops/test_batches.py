"""A worker's loop, on a socket pair: batches in, answers and parts out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from modelserver.child.context import Context
from modelserver.child.data.streaming import send_intermediate_predict_response
from modelserver.child.loops.calls import handler_call, last_rows
from modelserver.child.loops.outbox import JOIN
from modelserver.errors import BadRequest, PredictionFailed, ServingError
from modelserver.jobs import Answer, Job, TimedAnswer
from modelserver.protocol import frames
from modelserver.protocol.call_times import read_marks
from modelserver.protocol.frame_stream import send_all
from modelserver.protocol.frames import TRACED
from modelserver.protocol.trace_line import trace_line
from tests.harness.loops import FORM, LONGEST, Data, LoopTestCase


class TellingOutbox:
    """An outbox that tells how answers were handed to it."""

    def __init__(self, outbox: Any, told: list[str]) -> None:
        self._outbox = outbox
        self._told = told

    def __getattr__(self, name: str) -> Any:
        if name.startswith("add"):
            self._told.append(name)
        return getattr(self._outbox, name)


class LoopTests(LoopTestCase):
    """Batches in, answers and parts out."""

    def test_batches_are_answered_in_order(self) -> None:
        self.start(lambda data, context: [row["body"] for row in data])
        self.send(1, self.job(b"a"), self.job(b"b"))
        self.send(2, self.job(b"c"))
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"a", b"b"])
        self.assertEqual(self.bodies(frames.ANSWERS, 2), [b"c"])

    def test_jobs_apart_are_calls_of_their_own(self) -> None:
        seen: list[int] = []

        def handle(data: Data, context: Context) -> object:
            seen.append(len(data))
            return [row["body"] for row in data]

        self.start(handle)
        jobs = [self.job(b"a"), self.job(b"--B", FORM), self.job(b"c")]
        send_all(self.ours, frames.pack_batch(1, jobs, frames.PIPELINED))
        answers: list[Answer | ServingError] = []
        while len(answers) < 3:
            answers += self.receive(frames.ANSWERS, 1)
        first, second, third = answers
        self.assertIsInstance(second, BadRequest)
        self.assertEqual((first, third), (Answer(200, b"", b"a"), Answer(200, b"", b"c")))
        self.assertEqual(seen, [1, 1])

    def traced(self) -> Job:
        """Return a job whose request is traced."""
        job = self.job(b"a")
        block = job.request.header_block + trace_line(5, 7)
        job.request = job.request._replace(header_block=block, flags=TRACED)
        return job

    def test_answer_of_a_traced_request_has_the_times_of_its_call(self) -> None:
        parents: list[str | None] = []

        def handle(data: Data, context: Context) -> object:
            parents.append(context.get_traceparent())
            return [row["body"] for row in data]

        self.start(handle)
        before = time.monotonic()
        self.send(1, self.traced())
        (answer,) = self.receive(frames.ANSWERS, 1)
        assert isinstance(answer, TimedAnswer)
        self.assertEqual(Answer(200, b"", b"a"), answer)
        begun, called, returned, _ = read_marks(answer.marks)
        times = [before, begun, called, returned, time.monotonic()]
        self.assertEqual(sorted(times), times)
        self.send(2, self.job(b"b"))
        (second,) = self.receive(frames.ANSWERS, 2)
        self.assertIs(Answer, type(second))
        self.assertEqual([trace_line(5, 7)[13:-2].decode(), None], parents)

    def test_times_with_which_there_is_more_to_tell_come_before_the_answers(self) -> None:
        def handle(data: Data, context: Context) -> object:
            if len(data) == 1 and not calls:
                context.set_trace_attribute("a", 1)
            calls.append(len(data))
            if len(calls) == 2:
                raise ValueError
            return ["done"] * len(data)

        calls: list[int] = []
        self.start(handle)
        for number, jobs in enumerate(([self.traced()], [self.traced()], [self.traced(), self.job(b"b")])):
            self.send(number, *jobs)
            times, answers = [self.reader.wait(self.ours) for _ in range(2)]
            self.assertEqual((frames.TIMES, number, 0), (times.kind, times.number, times.items))
            self.assertEqual((frames.ANSWERS, len(jobs)), (answers.kind, answers.items))

    def test_what_a_slow_call_counts_is_told_before_its_answer(self) -> None:
        """A client that has its answer, and then reads the log of metrics, is to find it there."""

        def handle(data: Data, context: Context) -> object:
            context.metrics.add_counter("Calls", 1)
            until = time.perf_counter() + 2 * JOIN
            while time.perf_counter() < until:
                pass
            return ["done"] * len(data)

        self.start(handle)
        self.send(1, self.job(b"a"))
        kinds = [self.reader.wait(self.ours).kind for _ in range(2)]
        self.assertEqual([frames.METRICS, frames.ANSWERS], kinds)

    def test_what_is_kept_is_seen_while_the_next_call_takes_long(self) -> None:
        """An answer waits for the one behind it, which was expected in a moment, and does not come."""
        begun, gate = threading.Event(), threading.Event()

        def handle(data: Data, context: Context) -> object:
            if data[0]["body"] == b"late":
                begun.set()
                gate.wait(LONGEST)
            return [b"done"]

        self.start(handle)
        self.addCleanup(gate.set)
        for number in range(1, 200):  # so that the loop expects short calls
            self.send(number, self.job(b"a"))
            self.ahead.arrived(len(self.receive(frames.ANSWERS, number)))
        self.send_ahead(200, self.job(b"a"), self.job(b"late"))
        self.wait_until(begun)
        ((number, answers, _),) = self.ahead.read_kept(None)
        self.assertEqual((number, answers), (200, [Answer(200, b"", b"done")]))
        gate.set()
        known = received = 0
        while received < 2:  # in one frame, or in two where the late one has taken long
            count = len(self.receive(frames.ANSWERS, 200))
            known += self.ahead.arrived(count)
            received += count
        self.assertEqual((known, received), (1, 2))

    def test_the_end_of_a_stream_is_never_kept(self) -> None:
        """The server would see it before it reads the parts, which are in the socket."""

        def handle(data: Data, context: Context) -> object:
            if data[0]["body"] == b"stream":
                send_intermediate_predict_response(["part"], context.request_ids, "", 200, context)
            return [b"done"]

        self.start(handle)
        told: list[str] = []
        self.loop._outbox = TellingOutbox(self.loop._outbox, told)
        for number, body in enumerate((b"a", b"stream", b"a"), 1):
            self.send(number, self.job(body))
            if body == b"stream":
                self.assertEqual(self.bodies(frames.PART, number), [b"part"])
            self.assertEqual(self.bodies(frames.ANSWERS, number), [b"done"])
        self.assertEqual(["add", "add_behind_parts", "add"], told)

    def test_what_a_handler_asks_for_is_of_the_present_request(self) -> None:
        """Ids and headers are made only when somebody asks, and nothing of them is left for the next call."""
        told: list[object] = []

        def handle(data: Data, context: Context) -> object:
            body = data[0]["body"]
            if body == b"asks":
                told.append(((context.get_request_id(0) or "")[-2:], context.get_request_header(0, "x-name")))
            elif body == b"sets":
                context.request_processor[0].add_response_property("x-set", "yes")
            elif body == b"private":
                told.append(context._request_processor[0].get_request_property("x-name"))
            return ["ok"] * len(data)

        self.start(handle)
        heads = []
        for number, body in enumerate((b"asks", b"sets", b"none", b"private", b"asks"), 1):
            self.send(number, self.job(body, b"x-name: %d\r\n" % number, bytes([number]) * 16))
            (answer,) = self.receive(frames.ANSWERS, number)
            assert isinstance(answer, Answer)
            heads.append(answer.header_block)
        self.assertEqual(heads, [b"", b"\r\nx-set: yes\r\n", b"", b"", b""])
        self.assertEqual(told, [("01", "1"), "4", ("05", "5")])

    def test_calls_that_were_taken_back_are_passed_over(self) -> None:
        seen: list[object] = []
        begun, gate = threading.Event(), threading.Event()

        def handle(data: Data, context: Context) -> object:
            seen.extend(row["body"] for row in data)
            if data[0]["body"] == b"a":
                begun.set()
                gate.wait(LONGEST)
            return ["ok"] * len(data)

        self.start(handle)
        self.addCleanup(gate.set)
        self.send_ahead(1, self.job(b"a"), self.job(b"b"), self.job(b"c"))
        self.send_ahead(2, self.job(b"d"))
        self.wait_until(begun)
        self.assertEqual(self.ahead.take_back(), 3)
        gate.set()
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"ok"])
        for number, calls in ((1, 2), (2, 1)):
            frame = self.reader.wait(self.ours)
            self.assertEqual((frame.kind, frame.number, frame.items), (frames.DROPPED, number, calls))
        self.send_ahead(3, self.job(b"e"))
        self.assertEqual(self.bodies(frames.ANSWERS, 3), [b"ok"])
        self.assertEqual(seen, [b"a", b"e"])

    def test_one_of_those_apart_that_streams(self) -> None:
        """What is before it leaves first, its client may go, and those behind it are as they were sent."""

        def handle(data: Any, context: Context) -> object:
            body = bytes(data[0]["body"][:5])
            if body == b"parts":
                send_intermediate_predict_response(["part"], context.request_ids, "", 200, context)
            return [b"done " + body]

        self.start(handle)
        jobs = [self.job(b"first"), self.job(b"parts"), self.job(b"third" + bytes(70000))]
        send_all(self.ours, frames.pack_batch(1, jobs, frames.PIPELINED))
        send_all(self.ours, frames.pack_batch(2, [self.job(b"other" * 20000)]))
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"done first"])
        self.assertEqual(self.bodies(frames.PART, 1), [b"part"])
        rest: list[bytes] = []
        while len(rest) < 2:
            rest += self.bodies(frames.ANSWERS, 1)
        self.assertEqual(rest, [b"done parts", b"done third"])
        self.assertEqual(self.bodies(frames.ANSWERS, 2), [b"done other"])

    def test_the_client_of_one_apart_leaves(self) -> None:
        outcome: list[str] = []
        stream, is_said = self.stream(1000, outcome), threading.Event()

        def handle(data: Data, context: Context) -> object:
            assert is_said.wait(LONGEST)  # else all could be over before
            return stream(data, context)

        self.start(handle)
        send_all(self.ours, frames.pack_batch(1, [self.job(b"a"), self.job(b"b")], frames.PIPELINED))
        self.say(frames.CANCEL, 1, 1)
        is_said.set()
        for part in range(1000):
            self.assertEqual(self.bodies(frames.PART, 1), [b"%d" % part])
        rest: list[object] = []
        while len(rest) < 2:
            rest += self.receive(frames.ANSWERS, 1)
        self.assertEqual(outcome, ["done", "ClientsGone"])

    def test_request_that_cannot_be_read_is_answered_alone(self) -> None:
        seen: list[int] = []

        def handle(data: Data, context: Context) -> object:
            seen.append(len(data))
            return ["ok"] * len(data)

        self.start(handle)
        self.send(1, self.job(b"a"), self.job(b"--B", FORM), self.job(b"c"))
        first, second, third = self.receive(frames.ANSWERS, 1)
        self.assertIsInstance(second, BadRequest)
        for answer in (first, third):
            self.assertIsInstance(answer, Answer)
        self.send(2, self.job(b"--B", FORM))
        (only,) = self.receive(frames.ANSWERS, 2)
        self.assertIsInstance(only, BadRequest)
        self.assertEqual(seen, [2])

    def test_failure_of_the_handler(self) -> None:
        def handle(data: Data, context: Context) -> object:
            raise KeyError("gone")

        self.start(handle)
        self.send(1, self.job(b"a"), self.job(b"b"))
        for answer in self.receive(frames.ANSWERS, 1):
            assert isinstance(answer, PredictionFailed)
            self.assertEqual((answer.code, answer.exception), (503, "KeyError"))

    def test_what_is_no_exception_costs_no_worker_either(self) -> None:
        class Panic(BaseException):
            """As those of extensions in Rust."""

        raised = [
            SystemExit(2),
            asyncio.CancelledError(),
            GeneratorExit(),
            KeyboardInterrupt(),
            Panic("rust"),
        ]

        def handle(data: Data, context: Context) -> object:
            raise raised[int(bytes(data[0]["body"]))]  # type: ignore[call-overload]

        self.start(handle)
        for number, error in enumerate(raised):
            self.send(number, self.job(b"%d" % number))
            (answer,) = self.receive(frames.ANSWERS, number)
            assert isinstance(answer, PredictionFailed)
            told = answer.code, answer.exception, answer.text
            self.assertEqual(told, (503, type(error).__name__, str(error)))

    def test_process_that_a_handler_has_forked_ends_and_answers_nothing(self) -> None:
        def leave(data: object, context: Context) -> object:
            raise SystemExit

        call = handler_call(leave, Context("m", "/m", None, 1, None, "1"), last_rows(1))
        with mock.patch("os.getpid", lambda: 1), self.assertRaises(SystemExit):
            call([], [])

    def stream(self, parts: int, outcome: list[str]) -> Callable[[Data, Context], object]:
        """A handler that streams, and notes how that ended."""

        def handle(data: Data, context: Context) -> object:
            try:
                for part in range(parts):
                    texts = [f"{part}"] * len(data)
                    send_intermediate_predict_response(texts, context.request_ids, "", 200, context)
            except ConnectionError as error:
                outcome.append(type(error).__name__)
                raise
            outcome.append("done")
            return ["last"] * len(data)

        return handle

    def test_parts(self) -> None:
        self.start(self.stream(2, []))
        self.send(1, self.job(b"a"), self.job(b"b"))
        self.assertEqual(self.bodies(frames.PART, 1), [b"0", b"0"])
        self.assertEqual(self.bodies(frames.PART, 1), [b"1", b"1"])
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"last", b"last"])

    def test_request_that_cannot_be_read_among_those_that_stream(self) -> None:
        self.start(self.stream(1, []))
        self.send(1, self.job(b"a"), self.job(b"--B", FORM))
        part, refused = self.receive(frames.PART, 1)
        self.assertIsInstance(part, Answer)
        self.assertIsInstance(refused, BadRequest)

    def test_handler_is_held_without_credit(self) -> None:
        outcome: list[str] = []
        self.start(self.stream(3, outcome))
        # Before the batch: the loop knows of it when the handler sends its first part.
        self.say(frames.CREDIT, 1, 0)
        self.send(1, self.job(b"a"))
        self.ours.settimeout(0.2)
        with self.assertRaises(TimeoutError):
            self.receive(frames.PART, 1)
        self.ours.settimeout(LONGEST)
        self.say(frames.CREDIT, 1, 1)
        for part in (b"0", b"1", b"2"):
            self.assertEqual(self.bodies(frames.PART, 1), [part])
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"last"])

    def test_batch_that_comes_while_another_streams_is_next(self) -> None:
        self.start(self.stream(1, []))
        self.say(frames.CREDIT, 1, 0)
        self.send(1, self.job(b"a"))
        self.send(2, self.job(b"b"))
        self.say(frames.CREDIT, 1, 1)
        self.assertEqual(self.bodies(frames.PART, 1), [b"0"])
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"last"])
        self.assertEqual(self.bodies(frames.PART, 2), [b"0"])
        self.assertEqual(self.bodies(frames.ANSWERS, 2), [b"last"])

    def test_handler_whose_clients_have_all_left_is_stopped(self) -> None:
        outcome: list[str] = []
        self.start(self.stream(5, outcome))
        self.say(frames.CREDIT, 1, 0)
        self.send(1, self.job(b"a"), self.job(b"b"))
        self.say(frames.CANCEL, 1, 0)
        self.say(frames.CANCEL, 1, 1)
        answers = self.receive(frames.ANSWERS, 1)
        self.assertTrue(all(isinstance(answer, PredictionFailed) for answer in answers))
        self.assertEqual(outcome, ["ClientsGone"])

    def test_handler_goes_on_while_one_client_is_there(self) -> None:
        outcome: list[str] = []
        self.start(self.stream(1, outcome))
        self.say(frames.CREDIT, 1, 0)
        self.send(1, self.job(b"a"), self.job(b"b"))
        self.say(frames.CANCEL, 1, 0)
        self.say(frames.CREDIT, 1, 1)
        self.assertEqual(self.bodies(frames.PART, 1), [b"0", b"0"])
        self.assertEqual(self.bodies(frames.ANSWERS, 1), [b"last", b"last"])
        self.assertEqual(outcome, ["done"])
