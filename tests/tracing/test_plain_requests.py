"""Requests that are told as a whole, and what makes them be told span by span."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modelserver.jobs import CallMarks, Inputs
from modelserver.testing.providers import CollectingObserver
from modelserver.traces import FixedAttributes
from modelserver.tracing.plain_request import PlainRequest
from modelserver.tracing.request_trace import OpenSpan
from modelserver.tracing.spans import FinishedSpan
from tests.harness.plain_requests import spans_of
from tests.tracing.test_tracer import CLIENT, TracerCase

INPUTS = Inputs(b"a: b\r\n", b"", b"x")
FIXED = FixedAttributes({"http.route": "/predictions/{model_name}"})


def told(spans: Sequence[FinishedSpan]) -> list[tuple[object, ...]]:
    """All of spans but their ids, which are drawn at random: parents and links by their names."""
    names = {span.context: span.name for span in spans}
    return [
        (
            (span.name, names.get(span.parent) if span.parent else None, span.start, span.end, span.kind),
            (dict(span.attributes), [names.get(link) for link in span.links], span.error),
            (span.is_parent_remote, list(span.moments)),
        )
        for span in spans
    ]


class PlainRequestTests(TracerCase):
    """One job that is a batch by itself."""

    def setUp(self) -> None:
        super().setUp()
        self.plain: list[PlainRequest] = []
        self.serve()

    def run_one(self, also: Callable[[OpenSpan], object] | None = None, error: str | None = None) -> None:
        """Have a request answered; ``also``: what happens to its span then, before its end."""
        self.spans.clear()
        trace = self.tracer.begin(CLIENT)
        assert trace is not None
        trace.named("POST /predictions/{model_name}")
        trace.note(FIXED)
        self.ask_in(trace)
        if also is not None:
            also(trace)
        trace.end(error)

    def ask_in(self, trace: OpenSpan, more: Mapping[str, object] | None = None) -> None:
        """Have a job of a request answered, whose worker tells what it did when."""
        worker = self.stage.backend.last
        trace.run(self.inference.predict, "resnet", None, INPUTS, CollectingObserver())
        self.stage.turn()
        self.pass_time(3)
        now = self.stage.clock.seconds()
        worker.events.timed(worker.batches[0][0], 0, CallMarks(now - 2, now - 1.5, now - 0.5, more or {}))
        worker.answer(seconds=1)
        self.pass_time(1)

    def test_it_is_told_as_a_whole_and_means_the_same(self) -> None:
        self.run_one()
        spans = list(self.spans)
        self.tracer.deliver_plain = self.plain.append
        self.run_one()
        (plain,) = self.plain
        self.assertEqual([], self.spans)
        begun = spans[-1].start - int((plain.epoch + plain.started) * 1e9)
        moved = [span._replace(start=span.start + begun, end=span.end + begun) for span in spans_of(plain)]
        self.assertEqual(told(spans), told(moved))
        self.assertEqual(
            ["queue", "batch", "decode", "handler", "respond"], [each.name for each in spans[:5]]
        )

    def test_what_has_more_to_tell_is_told_span_by_span(self) -> None:
        self.tracer.deliver_plain = self.plain.append
        self.run_one(error="failed")
        self.assertEqual(6, len(self.spans))
        self.assertEqual("failed", self.spans[-1].error)

        self.run_one(lambda trace: trace.happened("seen"))
        self.assertEqual((6, ["seen"]), (len(self.spans), [each.name for each in self.spans[-1].moments]))

        self.run_one(lambda trace: trace.note({"http.route": "another"}))
        self.assertEqual((6, "another"), (len(self.spans), self.spans[-1].attributes["http.route"]))

        self.run_one(lambda trace: trace.part("late"))
        self.assertEqual(7, len(self.spans))
        self.assertIn("late", self.names())
        self.assertEqual([], self.plain)

    def test_second_job_of_a_request(self) -> None:
        self.tracer.deliver_plain = self.plain.append
        self.run_one(self.ask_in)
        parts = [span.name for span in self.spans if span.parent == self.spans[-1].context]
        self.assertEqual(["queue", "batch", "queue", "batch", "respond"], parts)
        self.assertEqual([], self.plain)

    def test_handler_that_tells_more(self) -> None:
        self.tracer.deliver_plain = self.plain.append
        trace = self.tracer.begin(None)
        assert trace is not None
        trace.note(FIXED)
        self.ask_in(trace, {"attributes": {"-1": {"answer.kind": "text"}}})
        trace.end()
        self.assertEqual("text", self.spans[-1].attributes["answer.kind"])
        self.assertEqual([], self.plain)

    def test_state_of_other_tracing_systems_is_in_each_span(self) -> None:
        self.tracer.deliver_plain = self.plain.append
        trace = self.tracer.begin(CLIENT, b"vendor=1")
        assert trace is not None
        trace.note(FIXED)
        self.ask_in(trace)
        trace.end()
        self.assertEqual({"vendor=1"}, {span.context.state for span in self.spans})
        self.assertEqual([], self.plain)
