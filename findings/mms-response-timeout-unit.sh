#!/usr/bin/env bash
# multi-model-server 1.1.11: `response_timeout` of a registration is read in minutes where it stands in the query, and in
# seconds where it stands in a JSON body; its documentation says seconds. A handler that takes 4 seconds is answered with
# 200 by a model registered with `?response_timeout=1`, and fails with "Worker died." in one registered with
# `{"response_timeout": "1"}`. Needs Java 8 or newer on the PATH, and the tool `curl`.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q multi-model-server==1.1.11 "setuptools<81" wheel
mkdir "$work/model" "$work/store"
cat > "$work/model/slow.py" <<'PY'
import time


def handle(data, context):
    if data is None:
        return None
    time.sleep(4)
    return ["done"] * len(data)
PY
"$work/venv/bin/model-archiver" --model-name slow --model-path "$work/model" --handler slow:handle --export-path "$work/store"
read -r ask manage < <(python3 - <<'PY'
import socket

def is_free(port):
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) != 0


free = filter(is_free, range(21000, 32000))  # it refuses ports from 32767 on
print(next(free), next(free))
PY
)
printf '%s\n' "inference_address=http://127.0.0.1:$ask" "management_address=http://127.0.0.1:$manage" \
    "model_store=$work/store" > "$work/config.properties"
export PATH="$work/venv/bin:$PATH" LOG_LOCATION="$work" METRICS_LOCATION="$work" TMPDIR="$work"
set -m # a process group of its own
(cd "$work" && exec multi-model-server --start --foreground --mms-config "$work/config.properties") > "$work/out" 2>&1 &
server=$!
set +m
ready() { curl -s --max-time 5 -o /dev/null "http://127.0.0.1:$ask/ping"; }
for _ in $(seq 20); do ready && break; sleep 1; done
ready || { cat "$work/out"; exit 1; }
models="http://127.0.0.1:$manage/models"
curl -sS --max-time 60 -X POST "$models?url=slow.mar&model_name=query&response_timeout=1&initial_workers=1&synchronous=true"
curl -sS --max-time 60 -H "Content-Type: application/json" "$models" -d '{"url": "slow.mar", "model_name": "body",
    "response_timeout": "1", "initial_workers": "1", "synchronous": "true"}'
for model in query body; do
    curl -sS --max-time 60 -o "$work/$model" -w "$model: %{http_code} after %{time_total} s\n" -d x "http://127.0.0.1:$ask/predictions/$model" \
        | tee "$work/$model.status"
done
grep -q "^query: 200 after 4" "$work/query.status"
grep -q "^body: 500 after 1" "$work/body.status"
grep -q "Worker died" "$work/body"
echo "as described"
