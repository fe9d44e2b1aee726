"""Requests of which only a few values are kept until they are over, and what makes spans of them before."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modelserver.errors import PredictionFailed
from modelserver.jobs import CallMarks, Inputs, Job, TimedAnswer
from modelserver.protocol.call_times import pack_marks
from modelserver.protocol.trace_line import trace_line
from modelserver.testing.providers import CollectingObserver
from modelserver.traces import AnswerTold, FixedAttributes, Told, Trace, withdrawn
from modelserver.tracing.lean_trace import MOST_ENDED, LeanTrace
from modelserver.tracing.plain_request import PlainRequest
from modelserver.tracing.propagation import read_parent
from modelserver.tracing.request_trace import OpenSpan
from modelserver.tracing.tracer import LONGEST
from tests.harness.plain_requests import spans_of
from tests.tracing.test_plain_requests import told
from tests.tracing.test_tracer import CLIENT, KILLED, TracerCase

NAME = "POST /predictions/{model_name}"
ASKED = FixedAttributes({"http.route": "/predictions/{model_name}"})
ANSWER = FixedAttributes({"http.response.status_code": 200})
PLAIN = ["queue", "batch", "decode", "handler", "respond", NAME]


def asked_of(target: str) -> Told:
    """Tell of what was asked."""
    return NAME, ASKED


def answer_of(request_id: str) -> AnswerTold:
    """Tell of an answer."""
    return ANSWER, {"modelserver.request.id": request_id}


def timed_answer(marks: CallMarks) -> TimedAnswer:
    """Return an answer whose worker tells of its call with it."""
    answer = TimedAnswer(200, b"", b"x")
    answer.marks = pack_marks(*marks[:3])
    return answer


class LeanCase(TracerCase):
    """A model with one worker, which tells its times."""

    def setUp(self) -> None:
        super().setUp()
        self.plain: list[PlainRequest] = []
        self.exemplars: list[tuple[str, str, float, tuple[str, float]]] = []
        self.tracer.deliver_plain = self.plain.append
        self.tracer.traced = lambda *told: self.exemplars.append(told)
        self.tracer.later = self.stage.clock.callLater
        self.serve()

    def begin(self) -> Trace:
        """Begin the trace of a request."""
        return self.tracer.due(asked_of, "/predictions/resnet")

    def ask_in(self, trace: Trace, observer: CollectingObserver | None = None) -> Job:
        """Ask the model on behalf of a trace."""
        inputs = Inputs(b"a: b\r\n", b"", b"x")
        return trace.run(self.inference.predict, "resnet", None, inputs, observer or CollectingObserver())

    def serve_one(self, more: Mapping[str, object] | None = None, with_answer: bool = False) -> None:
        """Have a worker tell its times and answer, after three seconds."""
        self.stage.turn()
        self.pass_time(3)
        worker, now = self.stage.backend.last, self.stage.clock.seconds()
        marks = CallMarks(now - 2, now - 1.5, now - 0.5, more or {})
        if with_answer:
            worker.answer(timed_answer(marks), seconds=1)
        else:
            worker.events.timed(worker.batches[0][0], 0, marks)
            worker.answer(seconds=1)
        self.pass_time(1)

    def end_one(self, also: Callable[[Trace], object] | None = None) -> Trace:
        """Have a request answered; ``also``: what happens to its trace then, before its end."""
        trace = self.begin()
        self.ask_in(trace)
        self.serve_one()
        if also is not None:
            also(trace)
        trace.closed(answer_of, "id")
        return trace

    def run_one(self, also: Callable[[Trace], object] | None = None) -> Trace:
        """Do the same, and have it told."""
        trace = self.end_one(also)
        self.tracer.settle()
        return trace


class PlainTests(LeanCase):
    """Those of which there is nothing unusual to tell."""

    def test_it_means_the_same_as_its_spans(self) -> None:
        self.run_one()
        (plain,) = self.plain
        self.assertEqual([], self.spans)
        self.run_one(lambda trace: trace.note({}))  # which makes spans of it
        self.assertEqual(PLAIN, self.names())
        moved = int(self.spans[-1].start - int((plain.epoch + plain.started) * 1e9))
        lean = [span._replace(start=span.start + moved, end=span.end + moved) for span in spans_of(plain)]
        self.assertEqual(told(self.spans), told(lean))
        self.assertEqual(200, self.spans[-1].attributes["http.response.status_code"])
        self.assertEqual("id", self.spans[-1].attributes["modelserver.request.id"])

    def test_times_that_come_in_the_answer_mean_the_same(self) -> None:
        def tell(with_answer: bool, observer: CollectingObserver) -> PlainRequest:
            self.ask_in(trace := self.begin(), observer)
            self.serve_one(with_answer=with_answer)
            trace.closed(answer_of, "id")
            self.tracer.settle()
            return self.plain.pop()

        waiting = CollectingObserver(), CollectingObserver()
        first, second = tell(False, waiting[0]), tell(True, waiting[1])
        moved = second.started - first.started
        names = first.call.attributes, first.call.handler
        times = [at + moved for at in first.call[:-2]]
        self.assertEqual(times, list(second.call[:-2]))
        self.assertEqual(names[0], second.call.attributes)
        self.assertEqual((first.name, first.attributes), (second.name, second.attributes))
        self.assertEqual(*(observer.answers for observer in waiting))
        self.assertEqual([], self.spans)
        self.assertEqual(0, self.tracer.under_way)

    def test_its_handler_finds_its_own_span_in_the_headers(self) -> None:
        trace = self.begin()
        job = self.ask_in(trace)
        self.serve_one()
        trace.closed(answer_of, "id")
        self.tracer.settle()
        (plain,) = self.plain
        handler = plain.call.handler
        self.assertEqual(b"a: b\r\n" + trace_line(*handler[:2]), job.request.header_block)
        self.assertEqual((plain.context.trace_id, trace.trace_id), (handler.trace_id, plain.context.shown))
        self.assertNotEqual(plain.context.span_id, handler.span_id)

    def test_trace_of_the_client_goes_on(self) -> None:
        for state, kept in ((None, ""), (b"vendor=1", "vendor=1")):
            trace = self.tracer.continued(asked_of, "", CLIENT, state)
            assert trace is not None
            job = self.ask_in(trace)
            self.serve_one()
            trace.closed(answer_of, "id")
            self.tracer.settle()
            parent = read_parent(CLIENT, state)
            assert parent is not None
            spans = spans_of(self.plain.pop()) if state is None else self.spans
            self.assertEqual(parent.context, spans[-1].parent)
            names = {(parent.context.trace_id, kept)}
            self.assertEqual(names, {(span.context.trace_id, span.context.state) for span in spans})
            (handler,) = [span.context for span in spans if span.name == "handler"]
            self.assertIn(trace_line(handler.trace_id, handler.span_id), job.request.header_block)
        self.assertIsNone(self.tracer.continued(asked_of, "", CLIENT[:-2] + b"00"))

    def test_it_is_the_current_one_while_its_observer_is_told(self) -> None:
        seen: list[object] = []

        class Observer(CollectingObserver):
            def completed(inner, job: Job, answer: object) -> None:
                seen.append(self.tracer.current)

        trace = self.begin()
        self.ask_in(trace, Observer())
        self.serve_one()
        self.assertEqual([trace], seen)
        self.assertIsNone(self.tracer.current)

    def test_spans_are_made_for_many_at_once(self) -> None:
        self.tracer.later = lambda seconds, call: None
        for count in range(MOST_ENDED):
            self.assertEqual([], self.plain, count)
            self.end_one()
        self.assertEqual(MOST_ENDED, len(self.plain))
        self.assertEqual(0, self.tracer.under_way)

    def test_they_are_made_after_a_moment_however_few_they_are(self) -> None:
        for count in (1, 2):
            self.end_one()
            self.assertEqual(count - 1, len(self.plain))
            self.pass_time(LONGEST)
            self.assertEqual(count, len(self.plain))

    def test_it_is_an_example_of_how_long_requests_take(self) -> None:
        trace = self.run_one()
        (plain,) = self.plain
        at = plain.epoch + plain.call.answered
        self.assertEqual([("resnet", "1.0", 3.0, (trace.trace_id, at))], self.exemplars)

    def test_times_that_cannot_be_are_mended(self) -> None:
        trace = self.begin()
        self.ask_in(trace)
        self.stage.turn()
        self.pass_time(3)
        worker, now = self.stage.backend.last, self.stage.clock.seconds()
        worker.events.timed(worker.batches[0][0], 0, CallMarks(now - 99, float("nan"), now + 99))
        worker.answer(seconds=1)
        trace.closed(answer_of, "id")
        self.tracer.settle()
        call = self.plain[0].call
        times = [call.since, call.assigned, call.begun, call.called, call.returned, call.answered]
        self.assertEqual(sorted(times), times)


class UnfoldedTests(LeanCase):
    """What makes spans of one before it is over, and what these are."""

    def assert_unfolded(self, trace: Trace, names: list[str]) -> None:
        """Fail unless a request was told span by span, and has these."""
        self.assertIsInstance(trace, LeanTrace)
        self.assertEqual([], self.plain)
        self.assertEqual(sorted(names), sorted(self.names()))
        self.assertEqual(0, self.tracer.under_way)
        self.assertEqual({trace.trace_id}, {span.context.shown for span in self.spans})

    def test_what_happens_to_an_answered_one(self) -> None:
        for also, more in (
            (lambda trace: trace.happened("seen"), []),
            (lambda trace: trace.note({"answer.kind": "text"}), []),
            (lambda trace: trace.part("late").end(), ["late"]),
            (lambda trace: trace.named(NAME), []),
        ):
            self.spans.clear()
            self.assert_unfolded(self.run_one(also), [*PLAIN, *more])
        self.assert_parts(self.one(NAME), ["queue", "batch", "respond"])

    def test_failure(self) -> None:
        trace = self.begin()
        self.ask_in(trace)
        self.serve_one()
        trace.end("")
        self.assert_unfolded(trace, PLAIN)
        self.assertEqual("", self.one(NAME).error)

    def test_one_that_no_worker_had(self) -> None:
        trace = self.begin()
        trace.closed(answer_of, "id")
        self.assert_unfolded(trace, [NAME])

    def test_second_job(self) -> None:
        trace = self.begin()
        for _ in range(2):
            self.ask_in(trace)
            self.serve_one()
        trace.closed(answer_of, "id")
        self.assert_unfolded(trace, PLAIN[:4] + PLAIN)

    def test_handler_that_fails(self) -> None:
        trace = self.begin()
        self.ask_in(trace)
        self.stage.turn()
        self.stage.backend.last.answer(PredictionFailed(500, "message"))
        trace.closed(answer_of, "id", "")
        self.assert_unfolded(trace, [name for name in PLAIN if name != "decode"])
        self.assert_parts(self.one(NAME), ["queue", "batch", "respond"])

    def test_one_that_something_has_happened_to_is_told_of_its_answer(self) -> None:
        for happens in (lambda trace: trace.happened("seen"), lambda trace: None):
            self.spans.clear()
            trace, other = self.begin(), self.tracer.begin(None)
            assert other is not None
            self.ask_in(trace)
            happens(trace)
            self.serve_one(with_answer=True)
            trace.closed(answer_of, "id")
            other.end()
            self.tracer.settle()
        self.assertEqual(1, len(self.plain), "the second one is plain, whatever others are")
        self.assertEqual((0, 0), (self.tracer.under_way, self.tracer.unfolded))

    def test_handler_that_tells_more(self) -> None:
        trace = self.begin()
        self.ask_in(trace)
        self.serve_one({"attributes": {"-1": {"answer.kind": "text"}}})
        trace.closed(answer_of, "id")
        self.assert_unfolded(trace, PLAIN)
        self.assertEqual("text", self.one(NAME).attributes["answer.kind"])

    def test_worker_that_is_lost_and_the_second_try(self) -> None:
        trace = self.begin()
        self.ask_in(trace)
        self.stage.turn()
        self.stage.backend.last.exit(KILLED)
        self.spans.clear()
        self.pass_time(1)
        self.serve_one()
        trace.closed(answer_of, "id")
        own = [span.name for span in self.spans if span.context.shown == trace.trace_id]
        self.assertEqual(sorted(["queue", "batch", *PLAIN]), sorted(own))
        self.assertEqual([], self.plain)

    def test_client_that_leaves(self) -> None:
        trace = self.begin()
        job = self.ask_in(trace)
        self.stage.turn()
        job.withdraw()
        withdrawn(job)
        self.assert_unfolded(trace, ["queue", "batch", NAME])
        self.assertEqual("The client has left.", self.one(NAME).error)
        self.stage.backend.last.answer()
        self.assertEqual(3, len(self.spans))

    def test_stream(self) -> None:
        trace = self.begin()
        self.ask_in(trace)
        self.stage.turn()
        self.stage.backend.last.send_part(b"part")
        self.stage.backend.last.answer()
        trace.closed(answer_of, "id")
        self.assertEqual(["first part"], [moment.name for moment in self.one(NAME).moments])
        self.assertEqual([], self.plain)

    def test_operation_is_a_part_of_it(self) -> None:
        trace = self.begin()
        trace.run(self.tracer.operation, "register", {}).end()
        trace.closed(answer_of, "id")
        self.assertEqual(self.one(NAME).context, self.one("register").parent)

    def test_batches_name_it(self) -> None:
        self.serve(batch_size=2, max_batch_delay=60.0)
        traces = [self.begin(), self.begin()]
        for trace in traces:
            self.ask_in(trace)
        self.serve_one()
        for trace in traces:
            trace.closed(answer_of, "id")
        (batch,) = [span for span in self.spans if span.name == "batch" and span.parent is None]
        self.assertEqual([trace.trace_id for trace in traces], [link.shown for link in batch.links])
        self.assertEqual([], self.plain)

    def test_it_is_spans_at_once_where_these_are_shown_as_lines(self) -> None:
        self.tracer.deliver_plain = None
        self.assertIsInstance(self.begin(), OpenSpan)
