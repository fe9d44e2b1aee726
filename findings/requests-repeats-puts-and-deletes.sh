#!/usr/bin/env bash
# requests 2.34.2 with urllib3 2.8.0: HTTPAdapter(max_retries=2) is documented to retry failed connections, "never
# requests where data has made it to the server". A 503, 429 or 413 that has a Retry-After header, as busy servers
# answer, is retried: GET, PUT and DELETE are made three times, after sleeping for as long as the server has said, an
# hour if it says so, whatever timeout= is. So are the calls that register, scale and remove models. Without the header
# the 503 comes back at once. Retry(2, respect_retry_after_header=False) makes it once.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q requests==2.34.2 urllib3==2.8.0
"$work/venv/bin/python" - <<'PY'
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

made = []


class Busy(BaseHTTPRequestHandler):
    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        made.append(self.command)
        self.send_response(503)
        if self.path == "/later":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_DELETE = do_POST = do_GET

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()


def ask(method, path, retries=2):
    made.clear()
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(max_retries=retries))
    began = time.monotonic()
    status = session.request(method, f"http://127.0.0.1:{server.server_port}{path}", timeout=0.9).status_code
    seconds = time.monotonic() - began
    print(f"{method} {path}, max_retries={retries!r}: {len(made)} made in {seconds:.1f} s, {status}")
    assert status == 503
    return len(made), seconds


for method in ("GET", "PUT", "DELETE"):
    assert ask(method, "/at-once")[0] == 1
    count, seconds = ask(method, "/later")
    assert count == 3 and seconds >= 1.9
assert ask("POST", "/later")[0] == 1
assert ask("PUT", "/later", Retry(2, respect_retry_after_header=False))[0] == 1
server.shutdown()
print("as described")
PY
