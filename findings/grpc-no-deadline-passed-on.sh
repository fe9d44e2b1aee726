#!/usr/bin/env bash
# grpcio 1.85.3: a deadline that is passed on, `stub(request, timeout=context.time_remaining())`, works for callers that
# have set one, and fails for those that have not. time_remaining() is documented to be None then, but is 9.2e18 seconds,
# and a timeout of that length, as one of float("inf") or 1e10, is DEADLINE_EXCEEDED at once: the call is not even sent.
# On grpc.aio's servers time_remaining() is None. timeout=1e9 works.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q grpcio==1.85.3
cat > "$work/try.py" <<'PY'
import asyncio
from concurrent.futures import ThreadPoolExecutor

import grpc

seen = []


def front(request, context):
    remaining = context.time_remaining()
    seen.append(remaining)
    try:
        return back(request, timeout=remaining)
    except grpc.RpcError as error:
        context.abort(error.code(), "behind the front: " + error.details())


methods = {
    "front": grpc.unary_unary_rpc_method_handler(front),
    "back": grpc.unary_unary_rpc_method_handler(lambda request, context: seen.append("back") or request),
}


def ask(call, timeout=None):
    seen.clear()
    try:
        told = call(b"hello", timeout=timeout)
    except grpc.RpcError as error:
        told = f"{error.code().name}: {error.details()}"
    return told


server = grpc.server(ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", methods),))
channel = grpc.insecure_channel(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
server.start()
to_front, back = channel.unary_unary("/s/front"), channel.unary_unary("/s/back")
for timeout in (30, None):
    told = ask(to_front, timeout)
    print(f"timeout={timeout}: {told}; time_remaining() is {seen[0]:.4g}")
    if timeout:
        assert told == b"hello" and "back" in seen, told
    else:
        assert told == "DEADLINE_EXCEEDED: behind the front: Deadline Exceeded", told
        assert seen == [seen[0]] and seen[0] > 9.2e18, seen
for timeout in (1e9, 1e10, float("inf")):
    told = ask(back, timeout)
    print(f"timeout={timeout:g}: {told}")
    if timeout == 1e9:
        assert told == b"hello" and seen == ["back"], told
    else:
        assert told == "DEADLINE_EXCEEDED: Deadline Exceeded" and not seen, told
channel.close()
server.stop(0).wait(10)


async def served_by_aio():
    async def tell(request, context):
        seen.append(context.time_remaining())
        return request

    server = grpc.aio.server()
    told = grpc.unary_unary_rpc_method_handler(tell)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("s", {"tell": told}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        await channel.unary_unary("/s/tell")(b"hello")
    await server.stop(0)


seen.clear()
asyncio.run(served_by_aio())
print("grpc.aio: time_remaining() is", seen[0])
assert seen == [None], seen
print("as described")
PY
GRPC_VERBOSITY=NONE "$work/venv/bin/python" "$work/try.py"
