#!/usr/bin/env bash
# kserve 0.21.0: a V1 prediction (/v1/models/NAME:predict) whose body is of a type that the server does not know reaches
# the model as bytes, image/png and x/y alike. A body of application/octet-stream, by which bytes are sent as a rule,
# does not: it is parsed as JSON, and answered with 400 where it is none.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q kserve==0.21.0
cat > "$work/try.py" <<'PY'
import asyncio
import json
import multiprocessing
import sys
import time
import urllib.error
import urllib.request

from kserve import Model, ModelServer


class Echo(Model):
    def load(self):
        self.ready = True
        return True

    def predict(self, payload, headers=None):
        return {"type": type(payload).__name__}


def serve(port):
    model = Echo("echo")
    model.load()
    ModelServer(http_port=port, enable_grpc=False, workers=1).start([model])


def ask(port, kind):
    url = f"http://127.0.0.1:{port}/v1/models/echo:predict"
    request = urllib.request.Request(url, b"\x00\x01\x02", {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


if __name__ == "__main__":
    port = int(sys.argv[1])
    server = multiprocessing.Process(target=serve, args=(port,))
    server.start()
    try:
        for _ in range(150):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
                break
            except OSError:
                time.sleep(0.2)
        for kind in ("application/octet-stream", "image/png", "x/y"):
            print(kind, *ask(port, kind))
    finally:
        server.terminate()
        server.join()
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$work/venv/bin/python" "$work/try.py" "$port" 2> /dev/null | grep -v ' INFO: ' | tee "$work/seen"
grep -q '^application/octet-stream 400 ' "$work/seen"
grep -q '^image/png 200 {"type":"bytes"}$' "$work/seen"
grep -q '^x/y 200 {"type":"bytes"}$' "$work/seen"
echo "as described"
