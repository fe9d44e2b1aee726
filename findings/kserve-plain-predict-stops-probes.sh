#!/usr/bin/env bash
# kserve 0.21.0: its server is built on FastAPI, which runs a plain "def" in a thread. A model's plain "def predict" is
# called on the event loop itself: while it computes, nothing else is answered, /v2/health/live included, so that a
# liveness probe with its usual second of time restarts a container that only works. (An "async def predict" that
# hands the work to a thread leaves the probes alone.)
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2> /dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q kserve==0.21.0
cat > "$work/serve.py" <<'PY'
import asyncio
import sys
import time

from kserve import Model, ModelServer


class Plain(Model):
    def load(self):
        self.ready = True
        return True

    def predict(self, payload, headers=None):
        time.sleep(4)
        return {"predictions": [1]}


class Threaded(Plain):
    async def predict(self, payload, headers=None):
        return await asyncio.to_thread(super().predict, payload)


models = [Plain("plain"), Threaded("threaded")]
for model in models:
    model.load()
ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start(models)
PY
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
setsid timeout -k 2 180 "$work/venv/bin/python" "$work/serve.py" "$port" > "$work/log" 2>&1 &
server=$!
for _ in $(seq 150); do
    curl -s -m 2 "http://127.0.0.1:$port/v2/health/live" > /dev/null && break
    sleep 0.4
done

# probe MODEL: ask whether the server lives while the model computes; print the seconds that the answer took.
probe() {
    local asked
    curl -s -m 30 -d '{"instances": [1]}' "http://127.0.0.1:$port/v1/models/$1:predict" > "$work/answer" &
    asked=$!
    sleep 1
    curl -s -m 30 -w ' after %{time_total} s\n' "http://127.0.0.1:$port/v2/health/live" > "$work/live"
    wait "$asked"
    echo "$1: $(cat "$work/live"), prediction: $(cat "$work/answer")"
}

probe plain | tee "$work/plain"
probe threaded | tee "$work/threaded"
grep -qE '"live":true} after [23]\.' "$work/plain"
grep -qE '"live":true} after 0\.' "$work/threaded"
echo "as described"
