"""The endpoint where requests are traced: which ones are, and what those that are not are spared."""

from __future__ import annotations

from typing import Any, cast

from attrs import field
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.core.registry import Registry
from modelserver.errors import ModelNotFound
from modelserver.http1.head import UNREAD, RequestHead, parse_head
from modelserver.inference.load_status import LoadStatus
from modelserver.inference.predict import Inference
from modelserver.interfaces import Reply
from modelserver.jobs import Inputs
from modelserver.language.attributes import define
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.inference.front import InferenceSettings
from modelserver.rest.inference.traced import TracedEndpoint
from modelserver.rest.tracing import HttpTracing
from modelserver.security.authorization import AllowAll
from modelserver.testing.providers import CountingRecorder
from modelserver.traces import FixedAttributes
from modelserver.tracing.sampling import Sampler
from modelserver.tracing.spans import FinishedSpan
from modelserver.tracing.tracer import SpanTracer
from tests.harness.connections import ID, AccessNotes

PARENT = "traceparent: 00-000000000000000000000000000000ff-00000000000000ff-%s\r\n"
REMOTE = "/127.0.0.1:1"


@define(eq=False)
class Asking:
    """Asks an endpoint, and is its ``Inference``: answers at once, or refuses."""

    handler: TracedEndpoint | None = None
    refuses: bool = False
    head: RequestHead = UNREAD
    asked: list[tuple[str, str | None, Inputs]] = field(factory=list)
    start_up: LoadStatus = field(factory=LoadStatus)

    def ask(self, target: str = "/predictions/m", lines: str = "") -> None:
        """Have a request served."""
        assert self.handler is not None
        block = f"POST {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()
        self.head = parse_head(block, len(block))
        self.head.operation = self.handler.classify(self.head)
        self.handler.predict(self.head, b"body", cast(Any, self))

    def predict(
        self, name: str, version: str | None, inputs: Inputs, observer: object, client_timeout: float
    ) -> None:
        """Answer."""
        if self.refuses:
            raise ModelNotFound(name)
        self.asked.append((name, version, inputs))
        self.finish(200)

    def reply(self, value: Reply) -> None:
        """Answer a ping."""
        self.finish(value.code)

    def refuse(self, error: ModelNotFound) -> None:
        """Answer a request that was refused."""
        self.finish(404)

    def finish(self, code: int) -> None:
        """Have an answer counted, and noted."""
        assert self.handler is not None
        self.handler.finished(REMOTE, self.head, code, 0.0, ID)


class TracedEndpointTests(SynchronousTestCase):
    """Gaps of two requests, and every kind of request."""

    def setUp(self) -> None:
        self.spans: list[FinishedSpan] = []
        clock = Clock()
        self.gaps = [2, 2, 2, 2]
        self.tracer = SpanTracer(
            Sampler("parentbased_traceidratio", 0.3, lambda bits: 1),
            clock.seconds,
            clock.seconds,
            lambda bits: 7,
            self.spans.extend,
        )
        self.tracer.gap = self.gaps.pop
        self.log, self.recorder = AccessNotes(), CountingRecorder()
        self.asking = Asking()
        self.ask = self.asking.ask
        self.handler = self.asking.handler = self.endpoint()

    def endpoint(self, serves_plain: bool = True) -> TracedEndpoint:
        """Return an endpoint on the tracer."""
        return TracedEndpoint(
            inference=cast(Inference, self.asking),  # as much of one as is asked for
            registry=Registry(),
            dialect=TorchServe(),
            recorder=self.recorder,
            access_log=self.log,
            gate=AllowAll(),
            clock=Clock(),
            entropy=bytes,
            settings=InferenceSettings(serves_plain=serves_plain),
            tracing=HttpTracing(self.tracer, "http"),
        )

    def traced(self) -> list[bool]:
        """Return of each answer that was noted whether it was traced, and forget them."""
        found = [bool(trace) for trace in self.log.traces]
        self.log.traces.clear()
        return found

    def test_those_are_traced_that_gaps_lie_between(self) -> None:
        for _ in range(7):
            self.ask()
        self.assertEqual([False, False, True, False, False, True, False], self.traced())
        self.assertEqual(["POST /predictions/{model_name}"] * 2, [span.name for span in self.spans])
        self.assertEqual(0, self.tracer.under_way)

    def test_all_are_asked_counted_and_noted_alike(self) -> None:
        for _ in range(3):
            self.ask("/predictions/m/2.0")
        first, *others = self.asking.asked
        self.assertEqual(("m", "2.0", b"body"), (*first[:2], first[2].body))
        self.assertEqual([first, first], others)
        self.assertEqual([("POST", "/predictions/m/2.0", 200)] * 3, self.log.notes)
        self.assertEqual([(ID, REMOTE)] * 3, list(zip(self.log.ids, self.log.remotes, strict=True)))
        self.assertEqual({("answered", "200"): 3}, self.recorder.counts)

    def test_pings_and_clients_traces_are_not_counted(self) -> None:
        for lines in ("", "ping", PARENT % "00", "", "ping", PARENT % "00", PARENT % "01", ""):
            self.ask("/ping") if lines == "ping" else self.ask(lines=lines)
        self.assertEqual([False] * 6 + [True, True], self.traced())

    def test_clients_trace_goes_on_where_it_is_recorded(self) -> None:
        self.ask(lines=PARENT % "01")
        (span,) = self.spans
        assert span.parent is not None
        self.assertEqual((0xFF, 0xFF), (span.context.trace_id, span.parent.span_id))
        self.assertEqual([f"{0xFF:032x}"], self.log.traces)

    def test_what_is_no_parent_is_decided_by_the_sampler(self) -> None:
        self.ask(lines="traceparent: x\r\n")
        self.assertEqual([False], self.traced())

    def test_refused_one_ends_in_its_trace(self) -> None:
        self.gaps.append(0)
        self.asking.handler = self.endpoint()
        self.asking.refuses = True
        self.ask()
        self.assertEqual([True], self.traced())
        attributes = self.spans[0].attributes
        self.assertEqual(
            ("ModelNotFound", None), (attributes["modelserver.refusal"], attributes.get("error.type"))
        )

    def test_request_that_twisted_web_has_read_ends_in_its_trace(self) -> None:
        handler = self.endpoint(serves_plain=False)
        handler.finished(REMOTE, UNREAD, 200, None, ID)
        trace = self.tracer.due(lambda head: ("", FixedAttributes({})), None)
        assert trace is not None
        trace.run(handler.finished, REMOTE, UNREAD, 200, None, ID)
        self.assertEqual([False, True], self.traced())
        self.assertEqual(1, len(self.spans))
