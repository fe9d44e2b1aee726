#!/usr/bin/env bash
# treq 26.7.0: timeout= holds until the headers of an answer have come, and for nothing after them. A server that sends
# headers and then stalls in the body (a worker that was killed under a streamed prediction) is waited for without end by
# text(), json() and content(), where requests, with the same argument, gives up. The body needs an addTimeout of its own.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q treq==26.7.0 twisted==26.10.0 requests==2.34.2
"$work/venv/bin/python" - <<'PY'
import time

import requests
import treq
from twisted.internet import reactor
from twisted.internet.defer import TimeoutError, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread


class Stalls(Protocol):
    def dataReceived(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{")


seen = {}


@inlineCallbacks
def ask():
    port = reactor.listenTCP(0, Factory.forProtocol(Stalls), interface="127.0.0.1")
    url = f"http://127.0.0.1:{port.getHost().port}/"
    began = time.monotonic()
    try:
        yield deferToThread(requests.get, url, timeout=1)
    except requests.RequestException as error:
        seen["requests"] = type(error).__name__, round(time.monotonic() - began)
    began = time.monotonic()
    response = yield treq.get(url, timeout=1)
    try:
        yield response.content().addTimeout(5, reactor)
    except TimeoutError:
        seen["treq"] = "still waits", round(time.monotonic() - began)
    reactor.stop()


reactor.callWhenRunning(ask)
reactor.callLater(60, reactor.stop)
reactor.run()
for library, (what, seconds) in seen.items():
    print(f"{library}, timeout=1: {what} after {seconds} s")
assert seen == {"requests": ("ConnectionError", 1), "treq": ("still waits", 5)}, seen
print("as described")
PY
