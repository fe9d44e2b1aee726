#!/usr/bin/env bash
# Klein 24.8.0: a path is decoded before it is matched, so the %2F in /models/a%2Fb separates segments: the route
# /models/<name>/<version> answers with name "a" and version "b". A name with a slash, well encoded by its client,
# reaches another route; %252F would be needed, and stays "%2F" in the value. A route without methods= also
# answers to any word as a method.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q klein==24.8.0 twisted==25.5.0 werkzeug==3.1.9 treq==25.5.0
"$work/venv/bin/python" - <<'PY'
import treq
from klein import Klein
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.web.client import Agent
from twisted.web.server import Site

app = Klein()

@app.route("/models/<name>")
def one(request, name):
    return f"name={name}"

@app.route("/models/<name>/<version>")
def two(request, name, version):
    return f"name={name} version={version}"

seen = []

@inlineCallbacks
def ask():
    port = reactor.listenTCP(0, Site(app.resource()), interface="127.0.0.1")
    try:
        for method, path in ((b"GET", b"a%2Fb"), (b"GET", b"a%252Fb"), (b"GET", b"a%20b"), (b"ANYWORD", b"a")):
            url = b"http://127.0.0.1:%d/models/%s" % (port.getHost().port, path)
            response = yield Agent(reactor).request(method, url)
            seen.append((method, path, response.code, (yield treq.text_content(response))))
    finally:
        reactor.stop()

reactor.callWhenRunning(ask)
reactor.callLater(30, reactor.stop)
reactor.run()
for each in seen:
    print(*each)
assert [each[2:] for each in seen] == [
    (200, "name=a version=b"), (200, "name=a%2Fb"), (200, "name=a b"), (200, "name=a")
], seen
print("as described")
PY
