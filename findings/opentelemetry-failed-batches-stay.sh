#!/usr/bin/env bash
# opentelemetry-exporter-otlp-proto-http 1.45.2: while the collector is away, each batch that could not be sent stays in
# memory until Python's collector of circles looks at it, however old: the exception that is logged knows the frame of
# `export`, and so the batch, and that frame knows the exception. A program that has few other circles, or that has
# switched the collector off or frozen it as servers do, grows by every batch. 20 batches of 64 spans leave all of their
# spans behind; `gc.collect()` frees them. Without a failure, none stays.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q opentelemetry-api==1.45.2 opentelemetry-sdk==1.45.2 \
    opentelemetry-exporter-otlp-proto-http==1.45.2
cat > "$work/look.py" <<'PY'
import gc
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

logging.disable(logging.CRITICAL)
BATCHES, SPANS = 20, 64


class Kept(SpanExporter):
    def __init__(self):
        self.spans = []

    def export(self, spans):
        self.spans += spans
        return SpanExportResult.SUCCESS


class Taken(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def batch():
    kept, provider = Kept(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    for number in range(SPANS):
        provider.get_tracer("t").start_span(f"span {number}").end()
    return kept.spans


def left_behind(port):
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces", timeout=0.2)
    made = [batch() for _ in range(BATCHES)]
    gc.collect()
    results = {exporter.export(made.pop()) for _ in range(BATCHES)}
    before = sum(isinstance(each, ReadableSpan) for each in gc.get_objects())
    gc.collect()
    after = sum(isinstance(each, ReadableSpan) for each in gc.get_objects())
    exporter.shutdown()
    return {each.name for each in results}, before, after


gc.disable()
collector = HTTPServer(("127.0.0.1", 0), Taken)
threading.Thread(target=collector.serve_forever, daemon=True).start()
taken = left_behind(collector.server_port)
with socket.socket() as nobody:
    nobody.bind(("127.0.0.1", 0))
    refused = left_behind(nobody.getsockname()[1])
print("exporter", version("opentelemetry-exporter-otlp-proto-http"))
print("a collector that takes them:", taken)
print("none there:", refused)
assert taken == ({"SUCCESS"}, 0, 0), taken
assert refused == ({"FAILURE"}, BATCHES * SPANS, 0), refused
PY
timeout 300 "$work/venv/bin/python" "$work/look.py"
echo "as described"
