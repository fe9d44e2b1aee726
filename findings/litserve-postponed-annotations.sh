#!/usr/bin/env bash
# litserve 0.2.19 (with fastapi 0.165.0): the annotation of decode_request's parameter says how a request is read; one of
# Annotated[bytes, Body(...)] gives the raw body. The same file with "from __future__ import annotations" at its top
# answers every request with 422: the annotation is a string by then, and the parameter is taken for one of the query.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2> /dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q litserve==0.2.19 fastapi==0.165.0
cat > "$work/plain.py" <<'PY'
import sys
from typing import Annotated

import litserve
from fastapi import Body


class Echo(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request: Annotated[bytes, Body(media_type="application/octet-stream")]):
        return request.decode()

    def predict(self, x):
        return x

    def encode_response(self, output):
        return {"got": output}


if __name__ == "__main__":
    server = litserve.LitServer(Echo(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1)
PY
{ echo "from __future__ import annotations"; echo; cat "$work/plain.py"; } > "$work/postponed.py"

# ask FILE: serve it, and print the answer to a request.
ask() {
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    setsid timeout -k 2 120 "$work/venv/bin/python" "$work/$1.py" "$port" > "$work/$1.log" 2>&1 &
    server=$!
    for _ in $(seq 150); do
        curl -s -m 2 "http://127.0.0.1:$port/health" > /dev/null && break
        sleep 0.4
    done
    curl -s -m 10 -w ' %{http_code}\n' -H 'Content-Type: application/octet-stream' -d hello "http://127.0.0.1:$port/predict"
    kill -- "-$server"
    wait "$server" 2> /dev/null || true
    server=
}

ask plain | tee "$work/seen.plain"
ask postponed | tee "$work/seen.postponed"
grep -q '"got":"hello"} 200$' "$work/seen.plain"
grep -q '"loc":\["query","request"\].* 422$' "$work/seen.postponed"
echo "as described"
