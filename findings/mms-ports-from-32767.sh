#!/usr/bin/env bash
# multi-model-server 1.1.11: ports from 32767 on, which is half of them and most of those that a system hands out by
# itself, are "Invalid port number" in `inference_address` and `management_address`; and a start that was refused for this
# ends with status 0. Port 32766 is served. Its documentation names no bound. (TorchServe 0.12 takes all ports.)
# Needs Java 8 or newer on the PATH, and the tool `curl`.
set -euo pipefail
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -- "-$server" 2>/dev/null; wait 2>/dev/null; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q multi-model-server==1.1.11 "setuptools<81" wheel
mkdir "$work/store"
export PATH="$work/venv/bin:$PATH" LOG_LOCATION="$work" METRICS_LOCATION="$work" TMPDIR="$work"

manage=$(python3 -c 'import socket
for port in range(21000, 32000):
    with socket.socket() as tried:
        if tried.connect_ex(("127.0.0.1", port)):
            print(port)
            break')

# serve PORT: in a process group of its own
serve() {
    printf '%s\n' "inference_address=http://127.0.0.1:$1" "management_address=http://127.0.0.1:$manage" \
        "model_store=$work/store" > "$work/$1.properties"
    set -m
    (cd "$work" && exec multi-model-server --start --foreground --mms-config "$work/$1.properties") > "$work/$1.out" 2>&1 &
    server=$!
    set +m
}

for port in 32767 50000; do
    serve "$port"
    status=0
    wait "$server" || status=$?
    server=
    echo "port $port: status $status: $(grep Invalid "$work/$port.out")"
    [ "$status" = 0 ]
    grep -q "Invalid port number: http://127.0.0.1:$port" "$work/$port.out"
done

serve 32766
answer=
for _ in $(seq 20); do
    answer=$(curl -s --max-time 5 -o /dev/null -w '%{http_code}' http://127.0.0.1:32766/ping || true)
    [ "$answer" != 200 ] || break
    sleep 1
done
echo "port 32766: /ping $answer"
[ "$answer" = 200 ]
echo "as described"
