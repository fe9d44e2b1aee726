#!/usr/bin/env bash
# grpcio 1.85.3: a status's details travel as a header field, percent-encoded, and a client takes 8 KiB of headers for
# sure and 16 KiB at most. A server that puts a traceback of some length into abort()'s details does not have it cut: the
# client sees RESOURCE_EXHAUSTED in place of the server's code, between the two limits now and then, more often the longer
# it is, above them always. An "é" counts six bytes and a newline three, so that 3,000 letters may be too many. Who
# retries by code, or alerts on it, is misled.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q grpcio==1.85.3
cat > "$work/try.py" <<'PY'
import collections
import concurrent.futures

import grpc


def refuse(request, context):
    letter, count = request.decode().split()
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, letter * int(count))


server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
handlers = {"Refuse": grpc.unary_unary_rpc_method_handler(refuse)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Try", handlers),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()


def ask(letter, count, times=100):
    codes = collections.Counter()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/Try/Refuse")
        for _ in range(times):
            try:
                call(f"{letter} {count}".encode(), timeout=10)
            except grpc.RpcError as error:
                codes[error.code().name] += 1
    print(f"{count} times {letter}:", *(f"{name} {number}" for name, number in sorted(codes.items())))
    return set(codes)


OWN, OTHER = "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"
seen = [ask("x", 7500), ask("x", 11000), ask("x", 17000), ask("é", 1200), ask("é", 3000)]
server.stop(None).wait(10)
assert seen == [{OWN}, {OWN, OTHER}, {OTHER}, {OWN}, {OTHER}], seen
print("as described")
PY
GRPC_VERBOSITY=NONE "$work/venv/bin/python" "$work/try.py"
