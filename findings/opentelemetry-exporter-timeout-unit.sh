#!/usr/bin/env bash
# opentelemetry-exporter-otlp-proto-http 1.45.2: OpenTelemetry's specification has OTEL_EXPORTER_OTLP_TIMEOUT in
# milliseconds (10000 by default). The exporter for Python takes the number for seconds: with 2000 it waits for more than
# half an hour on a collector that accepts connections and answers nothing, where two seconds were meant. Its other
# variables, as OTEL_BSP_SCHEDULE_DELAY, are in milliseconds.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q opentelemetry-exporter-otlp-proto-http==1.45.2 opentelemetry-sdk==1.45.2
cat > "$work/try.py" <<'PY'
import os
import socket
import threading
import time

silent = socket.create_server(("127.0.0.1", 0))
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:%d" % silent.getsockname()[1]
os.environ["OTEL_EXPORTER_OTLP_TIMEOUT"] = os.sys.argv[1]

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
began = time.monotonic()
sending = threading.Thread(target=lambda: provider.get_tracer("try").start_span("one").end(), daemon=True)
sending.start()
sending.join(8)
what = "still waits" if sending.is_alive() else "has given up"
print("OTEL_EXPORTER_OTLP_TIMEOUT=%s: %s after %.0f s" % (os.sys.argv[1], what, time.monotonic() - began), flush=True)
os._exit(0)
PY
"$work/venv/bin/python" "$work/try.py" 2000 2> /dev/null | tee "$work/milliseconds"
"$work/venv/bin/python" "$work/try.py" 2 2> /dev/null | tee "$work/seconds"
grep -q 'still waits' "$work/milliseconds"
grep -q 'has given up after 2 s' "$work/seconds"
echo "as described"
