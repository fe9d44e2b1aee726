#!/usr/bin/env bash
# grpcio 1.85.3: a second server on a port that is in use is not refused: add_insecure_port() gives the port, and from then
# on the kernel hands it a share of the new connections, before start() and before its models are loaded. Nobody answers
# these: clients wait on connections that are open and silent, while the first server is well. So it is with a server that
# is started twice by mistake, or anew while the old one serves. grpc.so_reuseport=0 refuses the second one.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q grpcio==1.85.3
cat > "$work/try.py" <<'PY'
import select
import socket
from concurrent.futures import ThreadPoolExecutor

import grpc

CONNECTIONS = 64
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"  # and empty settings


def server(**options):
    return grpc.server(ThreadPoolExecutor(1), options=[(f"grpc.{name}", value) for name, value in options.items()])


def count_answered(port):
    """Connect as HTTP/2 clients do, and count the connections on which settings come within 5 seconds."""
    clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(CONNECTIONS)]
    for client in clients:
        client.sendall(PREFACE)
    poll, answered = select.poll(), set()
    for client in clients:
        poll.register(client, select.POLLIN)
    while len(answered) < CONNECTIONS and (ready := poll.poll(5000)):
        for descriptor, _ in ready:
            poll.unregister(descriptor)
            answered.add(descriptor)
    for client in clients:
        client.close()
    return len(answered)


first = server()
port = first.add_insecure_port("127.0.0.1:0")
first.start()
alone = count_answered(port)
second = server()
assert second.add_insecure_port(f"127.0.0.1:{port}") == port
beside = count_answered(port)
print(f"of {CONNECTIONS} connections, the first server answered {alone}")
print(f"with a second one on its port, not started, {beside} are answered")
assert alone == CONNECTIONS, alone
assert 0 < beside < CONNECTIONS, beside
first.stop(0).wait(10)

alone = server(so_reuseport=0)
port = alone.add_insecure_port("127.0.0.1:0")
try:
    server(so_reuseport=0).add_insecure_port(f"127.0.0.1:{port}")
except RuntimeError as error:
    print("with grpc.so_reuseport=0:", str(error)[:50])
else:
    raise SystemExit("the second server was not refused")
print("as described")
PY
GRPC_VERBOSITY=NONE "$work/venv/bin/python" "$work/try.py"
