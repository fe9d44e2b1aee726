"""Our encoding of spans, read by OpenTelemetry's own messages and beside its own encoder."""

from __future__ import annotations

from unittest import TestCase

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver.traces import AttributeValue, FixedAttributes
from modelserver.tracing.encoding import SpanEncoder
from modelserver.tracing.propagation import SpanContext
from modelserver.tracing.spans import INTERNAL, SERVER, FinishedSpan, Moment, joined

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra tracing is not installed")

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource

from modelserver.tracing.otlp import SCOPE, SpanMaker, missing_package

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
VALUES = TEXTS | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)
ATTRIBUTES = st.dictionaries(TEXTS.filter(bool), VALUES, max_size=4)
CONTEXTS = st.builds(
    SpanContext,
    st.integers(1, (1 << 128) - 1),
    st.integers(1, (1 << 64) - 1),
    st.sampled_from(["", "vendor=1,other=two"]),
)
TIMES = st.integers(0, 1 << 62)
SPANS = st.builds(
    FinishedSpan,
    TEXTS,
    CONTEXTS,
    st.none() | CONTEXTS,
    TIMES,
    TIMES,
    st.sampled_from([INTERNAL, SERVER]),
    ATTRIBUTES,
    st.lists(st.builds(Moment, TEXTS, TIMES, ATTRIBUTES), max_size=2),
    st.lists(CONTEXTS, max_size=3),
    st.none() | TEXTS,
    st.just(False),
)


def _encoded(span: FinishedSpan) -> bytes:
    encoder = SpanEncoder({}, "s", "1")
    return encoder.request([encoder.spans([span])])


class EncodingTests(TestCase):
    """Both encoders say the same."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(SPANS, min_size=1, max_size=3))
    def test_it_is_what_the_library_encodes(self, spans: list[FinishedSpan]) -> None:
        import modelserver

        resource = Resource.create({"service.name": "mine"})
        attributes = {name: str(value) for name, value in resource.attributes.items()}
        encoder = SpanEncoder(attributes, SCOPE, modelserver.__version__)
        ours = encoder.request([encoder.spans(spans[:1]), encoder.spans(spans[1:])])
        theirs = encode_spans([SpanMaker(resource).span(span) for span in spans])
        read = ExportTraceServiceRequest.FromString(ours)
        self.assertEqual(theirs.resource_spans[0].scope_spans, read.resource_spans[0].scope_spans)
        self.assertEqual(theirs.resource_spans[0].resource, read.resource_spans[0].resource)

    def test_remote_parent(self) -> None:
        span = FinishedSpan("a", SpanContext(1, 2), SpanContext(1, 3), 4, 5, is_parent_remote=True)
        read = ExportTraceServiceRequest.FromString(_encoded(span))
        (found,) = read.resource_spans[0].scope_spans[0].spans
        self.assertEqual(0x300, found.flags)

    def test_attributes_that_many_spans_have_are_as_those_of_one(self) -> None:
        attributes: dict[str, AttributeValue] = {"a": 1, "b": True, "c": 1.5, "d": "x" * 200}
        encoder = SpanEncoder({}, "s", "1")
        span = FinishedSpan("a", SpanContext(1, 2), None, 4, 5, attributes=attributes)
        fixed = span._replace(attributes=FixedAttributes(attributes))
        first = encoder.spans([fixed])
        more: dict[str, AttributeValue] = {"e": 2, "f": "y"}
        whole = span._replace(attributes={**attributes, **more})
        parts = span._replace(attributes=joined(FixedAttributes(attributes), more))
        self.assertEqual((whole, encoder.spans([whole])), (parts, encoder.spans([parts])))
        self.assertEqual({"a": 3}, joined(FixedAttributes({"a": 1}), {"a": 3}))
        self.assertEqual([encoder.spans([span]), first], [first, encoder.spans([fixed])])

    def test_values_that_are_equal_and_not_the_same(self) -> None:
        encoder = SpanEncoder({}, "s", "1")
        for value in (1, True, 1.0):
            span = FinishedSpan("a", SpanContext(1, 2), None, 4, 5, attributes={"a": value})
            read = ExportTraceServiceRequest.FromString(encoder.request([encoder.spans([span])]))
            (pair,) = read.resource_spans[0].scope_spans[0].spans[0].attributes
            found = getattr(pair.value, pair.value.WhichOneof("value") or "")
            self.assertIs(type(value), type(found))

    def test_nothing_is_missing_where_it_is_installed(self) -> None:
        self.assertIsNone(missing_package())
