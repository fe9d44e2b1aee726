"""All nodes of a run belong to the trace of its request, whoever begins them."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from modelserver.jobs import Inputs, Job
from modelserver.testing.providers import CollectingObserver, Stage
from modelserver.traces import withdrawn
from modelserver.tracing.request_trace import OpenSpan
from modelserver.tracing.sampling import Sampler
from modelserver.tracing.spans import FinishedSpan
from modelserver.tracing.tracer import SpanTracer
from tests.harness.run_stage import CHAIN, RunStage, settings


class TraceTests(SynchronousTestCase):
    """A chain whose requests are traced."""

    def setUp(self) -> None:
        self.spans: list[FinishedSpan] = []
        self.run_stage = RunStage(
            CHAIN, make_tracer=self.make_tracer, mid=settings("mid", timeout=0.5, batch_size=2)
        )
        self.spans.clear()
        self.observer = CollectingObserver()
        self.trace, self.job = self.ask()

    def make_tracer(self, stage: Stage) -> SpanTracer:
        bits = Random(7).getrandbits
        self.tracer = SpanTracer(
            Sampler("parentbased_always_on", 1.0, bits),
            seconds=stage.clock.seconds,
            now=stage.now,
            bits=bits,
            deliver=self.spans.extend,
        )
        return self.tracer

    def ask(self) -> tuple[OpenSpan, Job]:
        trace = self.tracer.begin(None)
        assert trace is not None
        job = trace.run(
            self.run_stage.workflows.predict, "w", None, Inputs(b"", b"", b"x"), self.observer, 0.0
        )
        self.run_stage.stage.turn()
        return trace, job

    def queued(self) -> int:
        """How many waits in queues were recorded, all in the request's trace."""
        spans = [span for span in self.spans if span.name == "queue"]
        self.assertEqual({self.trace.context.trace_id}, {span.context.trace_id for span in spans})
        return len(spans)

    def test_each_node_is_a_part_of_the_request(self) -> None:
        for node in ("pre", "mid", "post"):
            self.run_stage.answer(node, b"1")
        self.trace.end()
        self.assertEqual(([b"1"], 3), (self.observer.bodies, self.queued()))

    def test_attempt_after_one_that_was_late_is_one_too(self) -> None:
        self.run_stage.answer("pre", b"1")
        self.run_stage.clock.advance(0.5)
        self.run_stage.answer("mid", b"late")
        self.run_stage.answer("mid", b"1")
        self.run_stage.answer("post", b"1")
        self.trace.end()
        self.assertEqual(([b"1"], 4), (self.observer.bodies, self.queued()))

    def test_trace_ends_when_the_client_leaves(self) -> None:
        self.job.withdraw()
        withdrawn(self.job)
        self.assertEqual("The client has left.", self.spans[-1].error)
        self.assertIsNone(self.spans[-1].parent)
