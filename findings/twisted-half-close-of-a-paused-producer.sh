#!/usr/bin/env bash
# Twisted 26.10.0: `loseWriteConnection` closes nothing where a producer is registered and more than 64 kB wait to be sent.
# The transport has paused the producer, and asks it for more once all is sent, in the stead of closing: its client has all
# of an answer, and waits for the end of it for good. Less than that, or no producer, and the end is there at once; so it is
# after `unregisterProducer`.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q twisted==26.10.0
cat > "$work/try.py" <<'PY'
import socket
import sys

from twisted.internet import selectreactor

selectreactor.install()
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from zope.interface import implementer

SECONDS = 3


@implementer(IPushProducer)
class Answer(Protocol):
    size, has_producer, unregisters = 0, True, False

    def connectionMade(self):
        if self.has_producer:
            self.transport.registerProducer(self, True)
        self.transport.write(bytes(self.size))
        if self.unregisters:
            self.transport.unregisterProducer()
        self.transport.loseWriteConnection()

    def pauseProducing(self):
        pass

    resumeProducing = stopProducing = pauseProducing


def ask(port):
    with socket.create_connection(("127.0.0.1", port), SECONDS) as client:
        size = 0
        try:
            while data := client.recv(1 << 16):
                size += len(data)
            return size, True
        except TimeoutError:
            return size, False


async def main():
    port = reactor.listenTCP(0, Factory.forProtocol(Answer), interface="127.0.0.1").getHost().port
    for size, has_producer, unregisters, ends in (
        (1_000_000, True, False, False),
        (1_000, True, False, True),
        (1_000_000, False, False, True),
        (1_000_000, True, True, True),
    ):
        Answer.size, Answer.has_producer, Answer.unregisters = size, has_producer, unregisters
        came, ended = await deferToThread(ask, port)
        print(f"{size} bytes, producer {has_producer}, unregistered {unregisters}: {came} came, the end came: {ended}")
        assert (came, ended) == (size, ends)
    print("as described")


succeeded = []
Deferred.fromCoroutine(main()).addCallbacks(succeeded.append, lambda failure: failure.printTraceback()).addBoth(
    lambda _: reactor.stop()
)
reactor.run()
sys.exit(0 if succeeded else 1)
PY
"$work/venv/bin/python" "$work/try.py"
