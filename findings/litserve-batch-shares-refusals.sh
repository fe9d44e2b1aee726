#!/usr/bin/env bash
# litserve 0.2.19 (with fastapi 0.165.0): where requests are batched, decode_request is still called for each of them, and
# may raise HTTPException for one that it refuses. The refusal then goes to all requests of the batch: callers whose
# own request is well are told 422 and another one's reason, and which ones depends on who asked at the same time.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2> /dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q litserve==0.2.19 fastapi==0.165.0
cat > "$work/serve.py" <<'PY'
import sys

import litserve
from fastapi import HTTPException


class Double(litserve.LitAPI):
    def setup(self, device):
        pass

    def decode_request(self, request):
        if request["x"] < 0:
            raise HTTPException(422, f"{request['x']} is negative")
        return request["x"]

    def predict(self, xs):
        return [x * 2 for x in xs]

    def encode_response(self, output):
        return {"y": output}


if __name__ == "__main__":
    server = litserve.LitServer(Double(max_batch_size=4, batch_timeout=2), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, num_api_servers=1)
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
setsid timeout -k 2 180 "$work/venv/bin/python" "$work/serve.py" "$port" > "$work/log" 2>&1 &
server=$!
for _ in $(seq 150); do
    curl -s -m 2 "http://127.0.0.1:$port/health" | grep -q ok && break
    sleep 0.4
done

# ask X...: ask for each at the same time, and print the answers in order.
ask() {
    local x asked=()
    for x in "$@"; do
        curl -s -m 20 -w ' %{http_code}\n' -H 'Content-Type: application/json' -d "{\"x\": $x}" \
            "http://127.0.0.1:$port/predict" > "$work/answer.$x" &
        asked+=($!)
    done
    wait "${asked[@]}"
    for x in "$@"; do echo "x = $x: $(cat "$work/answer.$x")"; done
}

echo "together:"
ask 1 -1 2 3 | tee "$work/together"
echo "the same without the one that is refused:"
ask 1 2 3 | tee "$work/without"
test "$(grep -c ': {"detail":"-1 is negative"} 422$' "$work/together")" = 4
test "$(grep -c ': {"y":[246]} 200$' "$work/without")" = 3
echo "as described"
