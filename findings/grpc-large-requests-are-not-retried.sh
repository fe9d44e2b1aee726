#!/usr/bin/env bash
# grpcio 1.85.3: a retry policy of five attempts holds for a request of 200 kB, and makes one attempt for one of 300 kB.
# A call that may be retried has to be kept, 256 KiB of it by default ("grpc.per_rpc_retry_buffer_size"); one that does
# not fit is sent once, with no word of it in the log or the status. So pictures and sound fail where texts get through,
# on the same channel. More than five attempts are cut to five, which is logged, and a server that sends its initial
# metadata before it fails has committed the call: no retry either.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q grpcio==1.85.3
"$work/venv/bin/python" - 2> "$work/errors" <<'PY' ||
import json
from concurrent.futures import ThreadPoolExecutor

import grpc

seen = []


class Unavailable(grpc.GenericRpcHandler):
    def service(self, details):
        def fail(request, context):
            seen.append(len(request))
            if details.method == "/model/Metadata":
                context.send_initial_metadata((("model", "dog"),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "no worker")

        return grpc.unary_unary_rpc_method_handler(fail)


server = grpc.server(ThreadPoolExecutor(2))
server.add_generic_rpc_handlers((Unavailable(),))
port = server.add_insecure_port("127.0.0.1:0")
server.start()


def attempts(size, wanted=5, method="/model/Predict", **options):
    policy = {
        "maxAttempts": wanted,
        "initialBackoff": "0.01s",
        "maxBackoff": "0.01s",
        "backoffMultiplier": 1,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": policy}]})
    seen.clear()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.service_config", config), *options.items()]) as channel:
        try:
            channel.unary_unary(method)(b"x" * size, timeout=20)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE, error
    print(f"{method}, {size} bytes, {wanted} attempts allowed {options or ''}: {len(seen)} made")
    return len(seen)


assert attempts(10) == 5
assert attempts(200_000) == 5
assert attempts(300_000) == 1
assert attempts(300_000, **{"grpc.per_rpc_retry_buffer_size": 1_000_000}) == 5
assert attempts(10, wanted=10) == 5
assert attempts(10, method="/model/Metadata") == 1
server.stop(None)
print("as described")
PY
    { cat "$work/errors" >&2; exit 1; }
