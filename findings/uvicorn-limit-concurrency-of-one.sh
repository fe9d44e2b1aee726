#!/usr/bin/env bash
# uvicorn 0.54.0 (below kserve, litserve, BentoML, MLServer): --limit-concurrency counts open connections, idle ones and
# the asking one as well, and refuses from the limit on, not above it. With 1, "one at a time", every request is answered
# with 503 on a server that has nothing to do; with 3, two idle connections of a load balancer leave no request for a
# third one. A limit of N serves N - 1 connections.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q uvicorn==0.54.0
"$work/venv/bin/python" - <<'PY'
import http.client
import threading
import time

import uvicorn


async def application(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def ask(port, count):
    """Ask once on each of some connections, one after the other, and leave them open."""
    connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for _ in range(count)]
    statuses = []
    for connection in connections:
        connection.request("GET", "/")
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    for connection in connections:
        connection.close()
    return statuses


def serve(limit):
    config = uvicorn.Config(
        application, host="127.0.0.1", port=0, limit_concurrency=limit, lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    statuses = ask(server.servers[0].sockets[0].getsockname()[1], 3)
    server.should_exit = True
    thread.join(30)
    return statuses


for limit, expected in ((1, [503, 503, 503]), (2, [200, 503, 503]), (3, [200, 200, 503]), (4, [200, 200, 200])):
    statuses = serve(limit)
    print(f"limit of {limit}: one request after the other on three connections:", *statuses)
    assert statuses == expected, statuses
print("as described")
PY
