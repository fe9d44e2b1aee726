#!/usr/bin/env bash
# treq 26.7.0 with Twisted 26.10.0: the headers of a response are not those that were sent. Content-Length is taken out of
# an answer to GET, whose `length` tells it, and left in an answer to HEAD, whose `length` is 0: the size of an archive is
# in one place for the one and in the other for the other. Where no encoding was sent, there is an empty Content-Encoding,
# which a proxy that passes headers on sends to its clients. The Agent of Twisted beneath treq does the first, and adds no
# header.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q treq==26.7.0 twisted==26.10.0
cat > "$work/try.py" <<'PY'
import http.client
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import treq
from twisted.internet.task import react
from twisted.web.client import Agent

BODY = b"hello"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response_only(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(BODY)

    do_HEAD = do_GET

    def log_message(self, *args):
        pass


def told(who, method, response):
    headers = {name.decode(): value for name, value in response.headers.getAllRawHeaders()}
    print(f"{who} {method}: length {response.length}, headers {headers}")
    return response.length, headers


async def main(reactor):
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for method, length in (("GET", 5), ("HEAD", 0)):
        plain = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        plain.request(method, "/")
        sent = dict(plain.getresponse().getheaders())
        print(f"http.client {method}: headers {sent}")
        plain.close()
        assert sent == {"Content-Length": "5", "ETag": '"1"'}, sent
        url = f"http://127.0.0.1:{server.server_port}/"
        response = await treq.request(method, url, persistent=False)
        await response.content()
        headers = {"ETag": [b'"1"']} | ({"Content-Length": [b"5"]} if method == "HEAD" else {})
        assert told("treq", method, response) == (length, headers | {"Content-Encoding": [b""]})
        response = await Agent(reactor).request(method.encode(), url.encode())
        await treq.content(response)
        assert told("Agent", method, response) == (length, headers)
    server.shutdown()
    print("as described")


react(main)
PY
"$work/venv/bin/python" "$work/try.py"
