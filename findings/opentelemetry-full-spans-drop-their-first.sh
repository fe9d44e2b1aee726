#!/usr/bin/env bash
# opentelemetry-sdk 1.45.2: a span that has as many attributes as it may have takes the next one and drops its oldest, where
# the specification has what comes too late discarded ("Common / Attribute Limits"). What a server set when the span began,
# and what a sampler or a search relies on, is what goes; attributes that a model adds in a loop stay. Attributes passed to
# start_span() go likewise, and so do the first events. With 4 allowed, the request's method and model are gone after 4
# more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q opentelemetry-sdk==1.45.2 opentelemetry-api==1.45.2
OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=4 OTEL_SPAN_EVENT_COUNT_LIMIT=2 "$work/venv/bin/python" - 2> "$work/errors" <<'PY' ||
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
began = {"http.request.method": "POST", "model": "dog"}
with provider.get_tracer("server").start_as_current_span("predict", attributes=began) as span:
    for number in range(4):
        span.set_attribute(f"row.{number}", number)
        span.add_event(f"row {number}")
(span,) = exporter.get_finished_spans()
print("attributes:", dict(span.attributes), "dropped:", span.dropped_attributes)
print("events:", [event.name for event in span.events], "dropped:", span.dropped_events)
assert dict(span.attributes) == {f"row.{number}": number for number in range(4)}
assert span.dropped_attributes == 2
assert [event.name for event in span.events] == ["row 2", "row 3"]
print("as described")
PY
    { cat "$work/errors" >&2; exit 1; }
