#!/usr/bin/env bash
# torchserve 0.12.0: blanks in config.properties are part of the values, where Java's file format keeps them. Of
# `load_models=first.mar, second.mar` the second one is looked up as " second.mar" and is not there; the server is up all
# the same, and `/ping` says Healthy. A blank behind a number (`default_workers_per_model=1 `) ends the server before it
# listens; `torchserve --start` has ended with status 0 by then. Needs Java 11 or newer on the PATH, and the tool `curl`.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q torchserve==0.12.0 torch-model-archiver==0.12.0 "setuptools<81" wheel pyyaml
mkdir "$work/store"
cat > "$work/echo.py" <<'PY'
def handle(data, context):
    return data and ["done"] * len(data)
PY
export PATH="$work/venv/bin:$PATH" LOG_LOCATION="$work" METRICS_LOCATION="$work" TMPDIR="$work" TEMP="$work"
for name in first second; do
    torch-model-archiver --model-name "$name" --version 1 --handler "$work/echo.py" --export-path "$work/store"
done
read -r ask manage metrics rpc rpc2 < <(python3 - <<'PY'
import socket

taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(5)]
print(*(each.getsockname()[1] for each in taken))
PY
)
settings() {
    printf '%s\n' "inference_address=http://127.0.0.1:$ask" "management_address=http://127.0.0.1:$manage" \
        "metrics_address=http://127.0.0.1:$metrics" "grpc_inference_port=$rpc" "grpc_management_port=$rpc2" \
        "disable_token_authorization=true" "model_store=$work/store" "$@" > "$work/config.properties"
}

settings "load_models=first.mar, second.mar" "default_workers_per_model=1"
set -m # a process group of its own
(cd "$work" && exec torchserve --start --foreground --ncs --ts-config config.properties) > "$work/out" 2>&1 &
server=$!
set +m
ready() { curl -s --max-time 5 -o /dev/null "http://127.0.0.1:$manage/models"; }
for _ in $(seq 30); do ready && break; sleep 1; done
ready || { cat "$work/out"; exit 1; }
curl -sS --max-time 10 "http://127.0.0.1:$manage/models" | tee "$work/listed"
grep "Model not found at" "$work/out" | head -1
grep -q first.mar "$work/listed"
! grep -q second.mar "$work/listed"
grep -q "Model not found at:  second.mar" "$work/out"
torchserve --stop
wait "$server" || true
server=

export TMPDIR="$work/second" TEMP="$work/second" # where it notes that it runs
mkdir "$TMPDIR"
settings "load_models=first.mar" "default_workers_per_model=1 "
(cd "$work" && torchserve --start --ncs --ts-config config.properties > "$work/out" 2>&1)
echo "a blank behind the number: torchserve --start has ended with status $?"
for _ in $(seq 30); do grep -q "Invalid configuration" "$work/out" && break; sleep 1; done
grep "Invalid configuration" "$work/out"
echo "as described"
