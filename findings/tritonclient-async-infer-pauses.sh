#!/usr/bin/env bash
# tritonclient 2.73.0 (HTTP): async_infer() is meant for many requests at the same time, and its caller is held for 10 ms in
# each call: it sleeps for that long to let the request start, however fast the server and however many connections
# concurrency= allows. One client sends fewer than 100 requests in a second that way. infer() does not pause.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'tritonclient[http]==2.73.0' numpy
"$work/venv/bin/python" - <<'PY'
import http.server
import json
import threading
import time

import numpy as np
import tritonclient.http as triton

OUTPUT = {"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}
ANSWER = json.dumps({"model_name": "m", "outputs": [OUTPUT]}).encode()
COUNT = 100


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
        self.wfile.write(head.encode() + ANSWER)

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = triton.InferenceServerClient(f"127.0.0.1:{server.server_port}", concurrency=16)
given = triton.InferInput("x", [2], "FP32")
given.set_data_from_numpy(np.ones(2, dtype=np.float32))
client.infer("m", [given])
least = {}
for name, call in (("infer", client.infer), ("async_infer", client.async_infer)):
    times = []
    for _ in range(COUNT):
        began = time.monotonic()
        answer = call("m", [given])
        times.append(time.monotonic() - began)
        if name == "async_infer":
            answer.get_result()
    least[name] = min(times)
    print(f"{name}: {COUNT} calls, {min(times) * 1000:.1f} ms at least")
client.close()
assert least["infer"] < 0.008 and least["async_infer"] >= 0.0095, least
print("as described")
PY
