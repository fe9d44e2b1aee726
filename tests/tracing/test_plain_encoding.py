"""Plain requests are encoded at once, to what their spans are encoded to."""

from __future__ import annotations

from unittest import TestCase

from hypothesis import given, settings
from hypothesis import strategies as st

from modelserver.traces import AttributeValue, FixedAttributes
from modelserver.tracing.encoding import SpanEncoder
from modelserver.tracing.plain_encoding import PlainEncoder
from modelserver.tracing.plain_request import PARTS, LoneCall, PlainRequest
from modelserver.tracing.propagation import SpanContext
from tests.harness.plain_requests import spans_of

IDS = st.integers(1, (1 << 64) - 1)
TRACES = st.integers(1, (1 << 128) - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
VALUES = TEXTS | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False)


def attributes_of(names: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, AttributeValue]]:
    """Attributes, of none to more than a span's length in two bytes of seven bits."""
    return st.dictionaries(names, VALUES | st.just("x" * 20_000), max_size=5)


@st.composite
def requests(draw: st.DrawFn) -> PlainRequest:
    """Any of them."""
    trace, parent = draw(TRACES), draw(st.none() | IDS)
    times = sorted(draw(st.lists(st.floats(0, 1e6), min_size=8, max_size=8)))
    of_batch = FixedAttributes(draw(attributes_of(TEXTS)))
    call = LoneCall._make((*times[1:7], of_batch, SpanContext(trace, draw(IDS))))
    own = draw(attributes_of(TEXTS.map("own.{}".format)))
    return PlainRequest(
        name=draw(TEXTS),
        context=SpanContext(trace, draw(IDS)),
        parent=None if parent is None else SpanContext(trace, parent),
        epoch=draw(st.floats(1e9, 2e9)),
        started=times[0],
        ended=times[7],
        attributes=(
            FixedAttributes(draw(attributes_of(TEXTS.map("a.{}".format)))),
            FixedAttributes(draw(attributes_of(TEXTS.map("b.{}".format)))),
            own,
        ),
        call=call,
        ids=draw(st.integers(0, (1 << 256) - 1)),
    )


class PlainEncodingTests(TestCase):
    """Both ways are one."""

    @settings(max_examples=200, deadline=None)
    @given(requests())
    def test_it_is_what_its_spans_are_encoded_to(self, request: PlainRequest) -> None:
        encoder = SpanEncoder({}, "s", "1")
        spans = spans_of(request)
        self.assertEqual(PARTS, len(spans))
        self.assertEqual(encoder.spans(spans), PlainEncoder(encoder).spans(request))
