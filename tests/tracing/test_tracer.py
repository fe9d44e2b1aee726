"""The tracer with a real pool, queue and workers, in memory: which spans there are of which events."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.inference.predict import Inference
from modelserver.jobs import Answer, Inputs, Job
from modelserver.protocol.frames import TRACED
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import CollectingObserver, Stage, make_spec
from modelserver.traces import withdrawn
from modelserver.tracing.propagation import RemoteParent, read_parent
from modelserver.tracing.request_trace import OpenSpan
from modelserver.tracing.sampling import Sampler
from modelserver.tracing.spans import SERVER, FinishedSpan
from modelserver.tracing.tracer import SpanTracer

CLIENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
KILLED = WorkerFailure("signal", 0.0, signal="SIGKILL")


class TracerCase(SynchronousTestCase):
    """A model with one worker, whose requests are traced."""

    def setUp(self) -> None:
        self.stage = stage = Stage(loads=True)
        self.spans: list[FinishedSpan] = []
        bits = Random(7).getrandbits
        self.tracer = SpanTracer(
            Sampler("parentbased_always_on", 1.0, bits),
            seconds=stage.clock.seconds,
            now=stage.now,
            bits=bits,
            deliver=self.spans.extend,
        )
        stage.providers = evolve(stage.providers, tracer=self.tracer)

    def serve(self, **settings: Any) -> None:
        """Serve the model."""
        stage, registry = self.stage, Registry()
        self.version = stage.version(make_spec(**settings))
        registry.add(self.version)
        self.version.pool.scale(1, 1)
        stage.turn()
        self.inference = Inference(
            registry, Deadlines(stage.clock), stage.clock, stage.recorder, bytes, tracer=self.tracer
        )
        self.spans.clear()

    def ask(
        self, observer: CollectingObserver, traceparent: bytes | None = None, timeout: float = 0.0
    ) -> tuple[OpenSpan, Job]:
        """Ask the model; the request's span stays open, as it is the front's to end."""
        trace = self.tracer.begin(traceparent)
        assert trace is not None
        trace.named("POST /predictions/{model_name}")
        inputs = Inputs(b"a: b\r\n", b"", b"x")
        return trace, trace.run(self.inference.predict, "resnet", None, inputs, observer, timeout)

    def pass_time(self, seconds: float) -> None:
        """Let the clock go on."""
        self.stage.clock.advance(seconds)

    def names(self) -> list[str]:
        """The names of the spans that were delivered, in the order in which they ended."""
        return [span.name for span in self.spans]

    def one(self, name: str) -> FinishedSpan:
        """The only span of this name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    def assert_parts(self, whole: FinishedSpan, names: Sequence[str]) -> None:
        """Fail unless the spans of these names are the parts of one, and cover all of its time."""
        parts = [span for span in self.spans if span.parent == whole.context]
        self.assertEqual(list(names), [span.name for span in parts])
        self.assertEqual(whole.start, parts[0].start)
        for before, after in pairwise(parts):
            self.assertEqual(before.end, after.start)
        self.assertEqual(whole.end, parts[-1].end)


def seconds(span: FinishedSpan) -> float:
    """How long it took."""
    return round((span.end - span.start) / 1e9, 3)


class RequestTests(TracerCase):
    """The spans of one request."""

    def test_parts_cover_the_whole_request(self) -> None:
        self.serve()
        trace, _ = self.ask(CollectingObserver())
        self.stage.turn()
        self.pass_time(3)
        self.stage.backend.last.answer(seconds=2)
        self.pass_time(1)
        trace.end()
        whole = self.one("POST /predictions/{model_name}")
        self.assertEqual((SERVER, 4.0), (whole.kind, seconds(whole)))
        self.assert_parts(whole, ["queue", "batch", "respond"])
        handler = self.one("handler")
        self.assertEqual(self.one("batch").context, handler.parent)
        self.assertEqual(2.0, seconds(handler))
        self.assertEqual((whole.context,), tuple(self.one("batch").links))
        self.assertEqual("resnet", self.one("batch").attributes["modelserver.model.name"])

    def test_trace_of_the_client_goes_on(self) -> None:
        self.serve()
        trace, _ = self.ask(CollectingObserver(), CLIENT)
        self.stage.turn()
        self.stage.backend.last.answer()
        trace.end()
        parent = read_parent(CLIENT)
        assert parent is not None
        whole = self.one("POST /predictions/{model_name}")
        self.assertEqual(parent.context, whole.parent)
        self.assertTrue(whole.is_parent_remote)
        self.assertEqual({parent.context.trace_id}, {span.context.trace_id for span in self.spans})

    def test_handler_finds_its_own_span_in_the_headers_and_the_flag(self) -> None:
        self.serve()
        trace, job = self.ask(CollectingObserver(), CLIENT)
        self.stage.turn()
        self.stage.backend.last.answer()
        trace.end()
        lines = job.request.header_block.split(b"\r\n")
        self.assertEqual(b"a: b", lines[0])
        parent = read_parent(lines[1].partition(b": ")[2])
        assert isinstance(parent, RemoteParent)
        self.assertEqual(self.one("handler").context, parent.context)
        self.assertTrue(job.request.flags & TRACED)

    def test_client_that_is_not_sampled_is_not_traced(self) -> None:
        self.assertIsNone(self.tracer.begin(CLIENT[:-2] + b"00"))

    def test_request_that_is_not_traced_is_as_before(self) -> None:
        self.serve()
        observer = CollectingObserver()
        job = self.inference.predict("resnet", None, Inputs(b"", b"", b"x"), observer)
        self.stage.turn()
        self.stage.backend.last.answer()
        self.assertIs(observer, job.observer)
        self.assertEqual([b"x"], observer.bodies)
        self.assertEqual([], self.spans)

    def test_observer_is_told_on_behalf_of_its_request(self) -> None:
        self.serve()
        told: list[object] = []

        class Observer(CollectingObserver):
            def completed(inner, job: Job, answer: Answer) -> None:
                told.append(self.tracer.current)

        trace, _ = self.ask(Observer())
        self.assertIsNone(self.tracer.current)
        self.stage.turn()
        self.stage.backend.last.answer()
        self.assertEqual([trace], told)
        self.assertIsNone(self.tracer.current)

    def test_parts_of_a_streamed_answer_are_one_batch(self) -> None:
        self.serve()
        trace, _ = self.ask(CollectingObserver())
        self.stage.turn()
        for _ in range(3):
            self.pass_time(1)
            self.stage.backend.last.send_part(b"part")
        self.pass_time(1)
        self.stage.backend.last.answer()
        trace.end()
        whole = self.one("POST /predictions/{model_name}")
        self.assertEqual(["first part"], [moment.name for moment in whole.moments])
        self.assertEqual(1.0, (whole.moments[0].at - whole.start) / 1e9)
        self.assert_parts(whole, ["queue", "batch", "respond"])
        self.assertEqual(4.0, seconds(self.one("batch")))

    def test_deadline_ends_what_the_request_was_at(self) -> None:
        self.serve()
        first, _ = self.ask(CollectingObserver())
        late, _ = self.ask(CollectingObserver(), timeout=1.0)
        self.stage.turn()
        self.pass_time(2)
        late.end("too late")
        whole = self.one("POST /predictions/{model_name}")
        self.assertEqual("too late", whole.error)
        self.assertIn("queue", self.names())
        self.assertIsNotNone(self.one("queue").error)
        first.end()

    def test_client_that_leaves_ends_its_trace(self) -> None:
        self.serve()
        _, job = self.ask(CollectingObserver())
        self.stage.turn()
        self.pass_time(1)
        job.withdraw()
        withdrawn(job)
        whole = self.one("POST /predictions/{model_name}")
        self.assertEqual("The client has left.", whole.error)
        self.assertEqual("The client has left.", self.one("batch").error)
        self.stage.backend.last.answer()
        self.assertEqual(3, len(self.spans), "nothing comes after that")


class BatchTests(TracerCase):
    """The spans of batches."""

    def test_batch_names_all_its_requests_and_they_name_it(self) -> None:
        self.serve(batch_size=3, max_batch_delay=60.0)
        traces = [self.ask(CollectingObserver())[0] for _ in range(3)]
        self.stage.turn()
        self.pass_time(2)
        self.stage.backend.last.answer(seconds=1.5)
        for trace in traces:
            trace.end()
        (batch,) = [span for span in self.spans if span.name == "batch" and span.parent is None]
        self.assertEqual([trace.context for trace in traces], list(batch.links))
        self.assertEqual(3, batch.attributes["modelserver.batch.size"])
        own = [span for span in self.spans if span.name == "batch" and span.parent is not None]
        self.assertEqual([trace.context for trace in traces], [span.parent for span in own])
        self.assertEqual([(batch.context,)] * 3, [tuple(span.links) for span in own])
        handlers = [span for span in self.spans if span.name == "handler"]
        parents = {span.parent for span in handlers}
        self.assertEqual({batch.context, *(span.context for span in own)}, parents)

    def test_those_that_are_not_traced_are_counted_only(self) -> None:
        self.serve(batch_size=2, max_batch_delay=60.0)
        self.inference.predict("resnet", None, Inputs(b"", b"", b"x"), CollectingObserver())
        trace, _ = self.ask(CollectingObserver())
        self.stage.turn()
        self.stage.backend.last.answer()
        trace.end()
        (batch,) = [span for span in self.spans if span.name == "batch" and span.parent is None]
        self.assertEqual([trace.context], list(batch.links))
        self.assertEqual(2, batch.attributes["modelserver.batch.size"])

    def test_each_of_those_that_travel_together_is_a_batch(self) -> None:
        self.serve()
        worker = self.stage.backend.last
        first = [self.ask(CollectingObserver())[0]]
        self.stage.turn()
        worker.answer(seconds=0.0001)  # so fast that further ones are sent ahead
        traces = [self.ask(CollectingObserver())[0] for _ in range(4)]
        self.stage.turn()
        for _ in traces:
            self.pass_time(1)
            worker.answer(seconds=0.5)
        for trace in first + traces:
            trace.end()
        batches = [span for span in self.spans if span.name == "batch"]
        self.assertEqual([trace.context for trace in first + traces], [span.parent for span in batches])
        self.assertEqual({1}, {span.attributes["modelserver.batch.size"] for span in batches})


class WorkerTests(TracerCase):
    """The spans of workers, and what their ends do to requests."""

    def test_start_of_a_worker(self) -> None:
        self.serve()
        self.version.pool.scale(2, 2)
        self.stage.turn()
        started = self.one("worker start")
        self.assertEqual("resnet", started.attributes["modelserver.model.name"])
        self.assertIsNone(started.error)

    def test_worker_that_is_lost_and_the_second_try(self) -> None:
        self.serve()
        observer = CollectingObserver()
        trace, _ = self.ask(observer)
        self.stage.turn()
        self.pass_time(1)
        self.stage.backend.last.exit(KILLED)
        self.pass_time(1)
        self.stage.turn()
        self.stage.backend.last.answer()
        self.pass_time(1)
        trace.end()
        self.assertEqual([b"x"], observer.bodies)
        whole = self.one("POST /predictions/{model_name}")
        self.assert_parts(whole, ["queue", "batch", "queue", "batch", "respond"])
        errors = [span.error for span in self.spans if span.name == "batch"]
        self.assertIn("SIGKILL", errors[0] or "")
        self.assertIsNone(errors[1])
        self.assertEqual(["worker lost"], [moment.name for moment in whole.moments])
        self.assertEqual("SIGKILL", self.one("worker lost").attributes["modelserver.worker.signal"])

    def test_worker_that_cannot_load(self) -> None:
        self.stage.backend.loads = False
        self.serve()
        self.pass_time(2)
        self.stage.backend.last.exit(WorkerFailure("load", 0.0, exception="ValueError", text="no weights"))
        started = self.one("worker start")
        self.assertEqual("ValueError", started.attributes["exception.type"])
        self.assertIsNotNone(started.error)

    def test_worker_that_was_told_to_end_is_no_loss(self) -> None:
        self.serve()
        self.version.pool.scale(0, 0)
        self.stage.turn()
        self.assertEqual([], self.spans)

    def test_operation_is_a_part_of_the_request_that_asks_for_it(self) -> None:
        trace = self.tracer.begin(CLIENT)
        assert trace is not None
        operation = trace.run(self.tracer.operation, "register", {"modelserver.model.name": "resnet"})
        trace.end()  # as that of a registration that goes on in the background
        operation.run(self.serve)
        operation.end()
        self.assertEqual(trace.context, self.one("register").parent)


class LimitTests(TracerCase):
    """What one request can make of spans."""

    def test_spans_of_one_request_are_bounded_and_the_rest_counted(self) -> None:
        trace = self.tracer.begin(None)
        assert trace is not None
        for _ in range(600):
            trace.part("step").end()
        trace.end()
        self.assertEqual(513, len(self.spans))
        self.assertEqual(88, self.spans[-1].attributes["modelserver.spans.dropped"])

    def test_parts_that_are_open_end_with_the_whole(self) -> None:
        trace = self.tracer.begin(None)
        assert trace is not None
        part = trace.part("step")
        trace.end()
        part.end()
        self.assertEqual(["step", ""], self.names())
        self.assertEqual("It was not waited for.", self.spans[0].error)
