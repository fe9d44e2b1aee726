#!/usr/bin/env bash
# opentelemetry-sdk 1.45.2 with its exporter for OTLP over HTTP: TracerProvider.force_flush(timeout_millis) is specified
# to tell whether it came to its end within its time. With the batch processor it returns True whether the collector took
# the spans, refused the connection or never answered, and the time is not looked at: with 500 ms it stays for the
# exporter's whole timeout. A worker that flushes before it ends, "for half a second at most", hangs for longer, and what
# it has lost it takes for sent.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q opentelemetry-exporter-otlp-proto-http==1.45.2 opentelemetry-sdk==1.45.2
"$work/venv/bin/python" - <<'PY'
import http.server
import logging
import socket
import threading
import time

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

logging.disable(logging.CRITICAL)


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def flush(what, port):
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces", timeout=4)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=60000))
    provider.get_tracer("try").start_span("one").end()
    began = time.monotonic()
    told = provider.force_flush(500)
    took = time.monotonic() - began
    print(f"{what}: {told} after {took:.1f} s", flush=True)
    return told, took


collector = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=collector.serve_forever, daemon=True).start()
silent = socket.create_server(("127.0.0.1", 0))
closed = socket.socket()
closed.bind(("127.0.0.1", 0))
taken, _ = flush("the collector takes spans", collector.server_port)
lost, _ = flush("nothing listens", closed.getsockname()[1])
waited, seconds = flush("the collector is silent", silent.getsockname()[1])
assert taken is lost is waited is True
assert 3.5 < seconds < 8, seconds
print("as described")
PY
