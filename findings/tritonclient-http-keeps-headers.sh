#!/usr/bin/env bash
# tritonclient 2.73.0 (HTTP, also its aio client): infer(headers=...) writes the headers of that one request into the
# caller's dictionary. Where the dictionary is used again (say, for its token), the next request carries the last one's
# Inference-Header-Content-Length and Content-Encoding: one that is plain JSON claims to be compressed, with a JSON part
# of the wrong length. The server is right to refuse it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q 'tritonclient[http]==2.73.0' numpy
"$work/venv/bin/python" - <<'PY'
import asyncio
import http.server
import json
import threading

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio

OUTPUT = {"name": "y", "datatype": "FP32", "shape": [1], "data": [1.0]}
ANSWER = json.dumps({"model_name": "m", "outputs": [OUTPUT]}).encode()
KEPT = ("Content-Encoding", "Inference-Header-Content-Length")
seen = []


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        seen.append(([self.headers.get(name) for name in KEPT], body[:1], len(body)))
        head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
        self.wfile.write(head.encode() + ANSWER)

    def log_message(self, *arguments):
        pass


def question(binary):
    given = triton.InferInput("x", [2], "FP32")
    given.set_data_from_numpy(np.ones(2, dtype=np.float32), binary_data=binary)
    return [given]


async def ask(url):
    client = triton_aio.InferenceServerClient(url)
    headers = {"Authorization": "Bearer abc"}
    await client.infer("m", question(True), headers=headers, request_compression_algorithm="gzip")
    await client.infer("m", question(False), headers=headers)
    await client.close()


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"127.0.0.1:{server.server_port}"
client = triton.InferenceServerClient(url)
headers = {"Authorization": "Bearer abc"}
client.infer("m", question(True), headers=headers, request_compression_algorithm="gzip")
client.infer("m", question(False), headers=headers)
client.close()
print("the dictionary after two requests:", headers)
asyncio.run(ask(url))
for (encoding, length), first, size in seen:
    print(f"{KEPT[0]}: {encoding}, {KEPT[1]}: {length}, body of {size} bytes begins with {first}")
assert set(headers) == {"Authorization", *KEPT}, headers
for compressed, plain in (seen[:2], seen[2:]):
    assert compressed[0][0] == plain[0][0] == "gzip" and compressed[0][1] == plain[0][1]
    assert compressed[1] == b"\x1f" and plain[1] == b"{" and plain[2] < int(plain[0][1])
print("as described")
PY
