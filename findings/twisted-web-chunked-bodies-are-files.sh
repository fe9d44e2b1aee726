#!/usr/bin/env bash
# Twisted 26.10.0: Twisted Web (and Klein above it) keeps a request's body in memory where Content-Length says less than
# 100,000 bytes. A chunked body says nothing, and goes to a temporary file on disk, be it five bytes. In a container with a
# read-only root and no /tmp, requests of curl and requests are answered, and those of a proxy or client that streams lose
# their connection without any answer; so do those of 100,000 bytes and more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q twisted==26.10.0
cat > "$work/try.py" <<'PY'
import http.client
import tempfile

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from twisted.web.server import Site

BODIES = {"5 bytes": b"x" * 5, "99,999 bytes": b"x" * 99_999, "100,000 bytes": b"x" * 100_000}
kinds = []


class Echo(Resource):
    isLeaf = True

    def render_POST(self, request):
        kinds.append("memory" if hasattr(request.content, "getbuffer") else "file")
        return b"%d" % len(request.content.read())


def ask(port, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/", body, encode_chunked=not isinstance(body, bytes))
        return connection.getresponse().read().decode() + " bytes in " + kinds.pop()
    except ConnectionError:
        return "no answer"
    finally:
        connection.close()


def ask_all(port):
    seen = [ask(port, body) for body in (*BODIES.values(), iter([b"hello"]))]
    tempfile.tempdir = "/nowhere"  # as on a machine where nothing may be written
    seen += [ask(port, body) for body in (*BODIES.values(), iter([b"hello"]))]
    return seen


def tell(seen):
    names = [*BODIES, "5 bytes, chunked"]
    for name, usual, readonly in zip(names, seen[:4], seen[4:], strict=True):
        print(f"{name}: {usual}; without a place for temporary files: {readonly}")
    memory = ["5 bytes in memory", "99999 bytes in memory"]
    assert seen[:4] == [*memory, "100000 bytes in file", "5 bytes in file"], seen
    assert seen[4:] == [*memory, "no answer", "no answer"], seen
    print("as described")


port = reactor.listenTCP(0, Site(Echo()), interface="127.0.0.1").getHost().port
asked = deferToThread(ask_all, port).addCallback(tell)
asked.addErrback(lambda failure: print(failure.getTraceback()))
asked.addBoth(lambda result: reactor.stop())
reactor.callLater(60, reactor.stop)
reactor.run()
PY
"$work/venv/bin/python" "$work/try.py" 2> "$work/errors" | tee "$work/seen"
grep -q '^as described$' "$work/seen"
