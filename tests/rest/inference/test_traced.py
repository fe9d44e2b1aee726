"""The endpoint where requests are traced: which ones are, and what those that are not are spared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import ModelNotFound
from modelserver.http1.head import UNREAD, RequestHead, parse_head
from modelserver.language.attributes import define
from modelserver.rest.inference.front import InferenceEndpoint, InferenceSettings, Operation, PlainPrediction
from modelserver.rest.inference.targets import PredictionTarget
from modelserver.rest.inference.traced import TracedEndpoint
from modelserver.rest.route import Asked
from modelserver.rest.tracing import HttpTracing
from modelserver.traces import FixedAttributes
from modelserver.tracing.sampling import Sampler
from modelserver.tracing.spans import FinishedSpan
from modelserver.tracing.tracer import SpanTracer

PARENT = "traceparent: 00-000000000000000000000000000000ff-00000000000000ff-%s\r\n"
TARGET = PredictionTarget("m", None, b"", 0, None, Asked.MODEL)


@define(eq=False)
class PlainEndpoint:
    """Stands for an ``InferenceEndpoint``: answers at once, through the handler that stands before it."""

    max_request_size = 1
    cors = b""
    slots = None
    told: list[tuple[str, str]]
    handler: TracedEndpoint | None = None
    refuses: bool = False
    settings: InferenceSettings = InferenceSettings()

    def classify(self, head: RequestHead) -> PlainPrediction | Operation | None:
        if head.target == b"/ping":
            return self.pinged
        return PlainPrediction(TARGET, 0.0) if head.target.startswith(b"/predictions") else None

    def pinged(self, head: RequestHead, body: object, observer: object) -> None:
        self.told.append(("ping", ""))

    def predict(self, head: RequestHead, body: object, observer: object) -> None:
        operation = head.operation
        if type(operation) is not PlainPrediction:
            cast(Callable[..., None], operation)(head, body, observer)
        elif self.refuses:
            raise ModelNotFound("m")
        else:
            assert self.handler is not None
            self.handler.finished("/127.0.0.1:1", head, 200, 0.0, bytes(16))

    def finished(
        self, remote: str, head: RequestHead, code: int, arrived: float, request_id: bytes, trace: str = ""
    ) -> None:
        self.told.append((head.target.decode(), trace))

    def template_of(self, target: bytes) -> str:
        return "/predictions/{model_name}"

    def __getattr__(self, name: str) -> object:
        return None  # what connections ask otherwise


class TracedEndpointTests(SynchronousTestCase):
    """Gaps of two requests, and every kind of request."""

    def setUp(self) -> None:
        self.spans: list[FinishedSpan] = []
        self.told: list[tuple[str, str]] = []
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
        self.plain = PlainEndpoint(self.told)
        endpoint: Any = self.plain  # as much of one as is asked for
        self.handler = TracedEndpoint(cast(InferenceEndpoint, endpoint), HttpTracing(self.tracer, "http"))
        self.plain.handler = self.handler

    def ask(self, target: str = "/predictions/m", lines: str = "", observer: Any = None) -> None:
        block = f"POST {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode()
        head = parse_head(block, len(block))
        head.operation = self.handler.classify(head)
        self.handler.predict(head, b"", observer)

    def traced(self) -> list[bool]:
        """Return of each answer that was told whether it was traced, and forget them."""
        found = [bool(trace) for _, trace in self.told]
        self.told.clear()
        return found

    def test_those_are_traced_that_gaps_lie_between(self) -> None:
        for _ in range(7):
            self.ask()
        self.assertEqual([False, False, True, False, False, True, False], self.traced())
        self.assertEqual(["POST /predictions/{model_name}"] * 2, [span.name for span in self.spans])
        self.assertEqual(0, self.tracer.under_way)

    def test_pings_and_clients_traces_are_not_counted(self) -> None:
        for lines in ("", "ping", PARENT % "00", "", "ping", PARENT % "00", PARENT % "01", ""):
            self.ask("/ping") if lines == "ping" else self.ask(lines=lines)
        self.assertEqual([False] * 6 + [True, True], self.traced())

    def test_clients_trace_goes_on_where_it_is_recorded(self) -> None:
        self.ask(lines=PARENT % "01")
        (span,) = self.spans
        assert span.parent is not None
        self.assertEqual((0xFF, 0xFF), (span.context.trace_id, span.parent.span_id))
        self.assertEqual(["/predictions/m", f"{0xFF:032x}"], list(self.told[0]))

    def test_what_is_no_parent_is_decided_by_the_sampler(self) -> None:
        self.ask(lines="traceparent: x\r\n")
        self.assertEqual([False], self.traced())

    def test_refused_one_ends_in_its_trace(self) -> None:
        self.gaps.append(0)
        self.plain.refuses = True
        test = self

        class Refused:
            def refuse(self, error: ModelNotFound) -> None:
                test.handler.finished("/127.0.0.1:1", UNREAD, 404, None, bytes(16))

        self.handler._left = 0  # as if the gap were over
        self.ask(observer=Refused())
        self.assertEqual([True], self.traced())
        self.assertEqual("ModelNotFound", self.spans[0].attributes["error.type"])

    def test_nobody_looks_for_a_trace_where_there_is_none(self) -> None:
        self.assertEqual(self.plain.finished, self.handler.finished)
        seen = []
        trace = self.tracer.due(lambda head: ("", FixedAttributes({})), None)
        assert trace is not None
        trace.run(lambda: seen.append(self.handler.finished))
        self.assertNotEqual(self.plain.finished, seen[0])
        self.assertEqual(self.plain.finished, self.handler.finished)

    def test_listener_without_plain_predictions_looks_for_itself(self) -> None:
        self.plain.settings = InferenceSettings(serves_plain=False)
        self.handler = TracedEndpoint(cast(InferenceEndpoint, self.plain), HttpTracing(self.tracer, "http"))
        self.handler.finished("/127.0.0.1:1", UNREAD, 200, None, bytes(16))
        trace = self.tracer.due(lambda head: ("", FixedAttributes({})), None)
        assert trace is not None
        trace.run(self.handler.finished, "/127.0.0.1:1", UNREAD, 200, None, bytes(16))
        self.assertEqual([False, True], self.traced())
        self.assertEqual(1, len(self.spans))
