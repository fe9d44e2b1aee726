#!/usr/bin/env bash
# opentelemetry-sdk 1.45.2: a span that is made current inside a generator is current for whoever iterates it, too,
# between the parts. Of two streamed answers that a thread hands out in turns, the second's span becomes a child of the
# first's, parts of the first become children of the second, and when both have ended, the thread is left with a current
# span that has ended: each later request there is its child, in the trace of a stranger, for as long as the thread
# lives. As a decorator, start_as_current_span ends the span of a generator function before its first part. Nothing is
# logged.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q opentelemetry-sdk==1.45.2 opentelemetry-api==1.45.2
"$work/venv/bin/python" - <<'PY'
from itertools import zip_longest

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("server")


def answer(name, parts):
    with tracer.start_as_current_span(name):
        for number in range(parts):
            with tracer.start_as_current_span(f"{name} part {number}"):
                pass
            yield number


list(zip_longest(answer("cat", 2), answer("dog", 3)))
left = trace.get_current_span()
print("current when both have ended:", getattr(left, "name", None), "is recording:", left.is_recording())
with tracer.start_as_current_span("next request"):
    pass
spans = exporter.get_finished_spans()
names = {span.context.span_id: span.name for span in spans}
parents = {span.name: names[span.parent.span_id] if span.parent else None for span in spans}
for name, parent in parents.items():
    print(f"  {name}: child of {parent}")
assert left.name == "cat" and not left.is_recording()
assert parents["dog"] == "cat" and parents["cat part 1"] == "dog", parents
assert parents["next request"] == "cat", parents
assert len({span.context.trace_id for span in spans if span.name in ("cat", "dog", "next request")}) == 1


@tracer.start_as_current_span("decorated")
def decorated():
    yield len([span for span in exporter.get_finished_spans() if span.name == "decorated"])


ended = next(decorated())
print("spans of the decorated generator that had ended at its first part:", ended)
assert ended == 1
print("as described")
PY
