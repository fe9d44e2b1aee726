#!/usr/bin/env bash
# grpcio 1.85.3: channels of one process to one target with equal options share one TCP connection, those of grpc.aio
# too, and so eight clients of tritonclient 2.73.0 do. A pool of channels is no pool of connections: a load balancer that
# deals out connections (a Kubernetes Service) sends all of their calls to one replica, and the server sees one client's
# limits. Options that differ, in a name that gRPC does not even know, or grpc.use_local_subchannel_pool part them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q grpcio==1.85.3 'tritonclient[grpc]==2.73.0' 'protobuf<7'
cat > "$work/try.py" <<'PY'
import asyncio
import concurrent.futures

import grpc
import tritonclient.grpc as triton

COUNT = 8
PATH = "/inference.GRPCInferenceService/ServerLive"
peers = set()


def live(request, context):
    peers.add(context.peer())
    return b"\x08\x01"


def told(what):
    print(f"{COUNT} {what}: {len(peers)} connection(s)")
    number = len(peers)
    peers.clear()
    return number


def ask(what, options):
    channels = [grpc.insecure_channel(target, options=options(number)) for number in range(COUNT)]
    for channel in channels:
        channel.unary_unary(PATH)(b"", timeout=10)
    for channel in channels:
        channel.close()
    return told(what)


async def ask_aio():
    channels = [grpc.aio.insecure_channel(target) for _ in range(COUNT)]
    for channel in channels:
        await channel.unary_unary(PATH)(b"", timeout=10)
    for channel in channels:
        await channel.close()


server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
handlers = {"ServerLive": grpc.unary_unary_rpc_method_handler(live)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("inference.GRPCInferenceService", handlers),))
target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
server.start()
seen = [ask("channels", lambda number: [])]
asyncio.run(ask_aio())
seen.append(told("channels of grpc.aio"))
clients = [triton.InferenceServerClient(target) for _ in range(COUNT)]
assert all(client.is_server_live() for client in clients)
seen.append(told("clients of tritonclient.grpc"))
for client in clients:
    client.close()
seen.append(ask("channels with an option of their own", lambda number: [("own.number", number)]))
seen.append(ask("channels with a local pool", lambda number: [("grpc.use_local_subchannel_pool", 1)]))
server.stop(None).wait(10)
assert seen == [1, 1, 1, COUNT, COUNT], seen
print("as described")
PY
GRPC_VERBOSITY=NONE "$work/venv/bin/python" "$work/try.py"
