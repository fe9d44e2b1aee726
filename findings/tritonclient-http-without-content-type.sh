#!/usr/bin/env bash
# tritonclient 2.73.0 (HTTP): infer() sends its JSON document without any Content-Type header. A server that
# chooses a parser by that header sees an unknown body. It also asks for a binary answer by default
# ("binary_data_output": true), even where all inputs are JSON and no output was named; only an explicit
# InferRequestedOutput(binary_data=False) makes the answer JSON.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'tritonclient[http]==2.73.0' numpy
"$work/venv/bin/python" - <<'PY'
import http.server, json, threading
import numpy as np
import tritonclient.http as triton

seen = []
ANSWER = json.dumps(
    {"model_name": "m", "outputs": [{"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}]}
).encode()

class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append((dict(self.headers), json.loads(body)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)
    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = triton.InferenceServerClient(f"127.0.0.1:{server.server_port}")
given = triton.InferInput("x", [2], "FP32")
given.set_data_from_numpy(np.array([1, 2], dtype=np.float32), binary_data=False)
client.infer("m", [given])
client.infer("m", [given], outputs=[triton.InferRequestedOutput("y", binary_data=False)])
for headers, document in seen:
    print(sorted(headers), document)
    assert "content-type" not in {name.lower() for name in headers}
assert seen[0][1]["parameters"] == {"binary_data_output": True}
assert "parameters" not in seen[1][1] and seen[1][1]["outputs"][0]["parameters"] == {"binary_data": False}
print("as described")
PY
