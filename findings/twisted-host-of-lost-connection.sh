#!/usr/bin/env bash
# Twisted 25.5.0: while a server's protocol is told of the end of its TCP connection (connectionLost), the transport's
# getPeer() still answers, but getHost() raises AttributeError: it asks the socket, which is gone by then. An access
# log that writes both addresses at the end of a request fails for just the clients that leave early.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q twisted==25.5.0
"$work/venv/bin/python" - <<'PY'
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol

seen = []

def ask(what):
    try:
        return type(what()).__name__
    except Exception as error:
        return type(error).__name__

class Server(Protocol):
    def look(self, when):
        transport = self.transport
        seen.append((when, ask(transport.getPeer), ask(transport.getHost)))
    def connectionMade(self):
        self.look("at the start")
    def connectionLost(self, reason):
        self.look("at the end")
        reactor.stop()

port = reactor.listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")
client = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), Protocol())
client.addCallback(lambda protocol: protocol.transport.loseConnection())
reactor.callLater(30, reactor.stop)
reactor.run()
for each in seen:
    print(*each)
assert seen == [
    ("at the start", "IPv4Address", "IPv4Address"), ("at the end", "IPv4Address", "AttributeError")
], seen
print("as described")
PY
