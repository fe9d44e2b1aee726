"""What the bridge to Twisted Web takes from it, so that a Twisted that lacks some of it is told by name."""

from __future__ import annotations

import ast
import inspect

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import HTTPChannel
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request, Site

import twisted
from modelserver.http1 import body_reader, connection, exchange, factory, twisted_web
from modelserver.http1.twisted_web import BridgeSite, BufferedRequest, OneRequestChannel
from modelserver.jobs import Answer
from tests.harness.connections import ConnectionStage, TwistedWebEndpoint
from tests.harness.requests import CHUNKED, HOT, PING, H

NAMES = (
    (
        HTTPChannel,
        "allContentReceived allHeadersReceived checkPersistence connectionLost dataReceived isSecure",
    ),
    (HTTPChannel, "makeConnection pauseProducing persistent requestDone resumeProducing stopProducing"),
    (HTTPChannel, "requestFactory"),
    (
        Request,
        "clientproto content gotLength handleContentChunk process startedWriting write",
    ),
    (Site, "getResourceFor log"),
)
"""What the bridge calls, overrides or sets."""
FORM = (
    b"POST /predictions/noop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
)


def private_names(source: str) -> set[str]:
    """The attributes that a source calls private."""
    attributes = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return {name for name in attributes if name.startswith("_") and not name.startswith("__")}


class NameTests(SynchronousTestCase):
    """Names of Twisted Web's that the bridge uses or overrides."""

    def test_twisted_web_has_what_the_bridge_builds_on(self) -> None:
        for kind, names in NAMES:
            for name in names.split():
                self.assertTrue(
                    hasattr(kind, name),
                    f"Twisted {twisted.__version__} has no {kind.__name__}.{name}, which"
                    " modelserver/http1/twisted_web.py builds on",
                )

    def test_no_private_name_of_twisted_web_is_used(self) -> None:
        kinds = (HTTPChannel, HTTPRequest, Request, Site)
        private = {name for kind in kinds for name in private_names(inspect.getsource(kind))}
        self.assertLess({"_dataBuffer", "_disconnected", "_waitingForTransport"}, private)
        for kind in (OneRequestChannel, BufferedRequest, BridgeSite):
            self.assertEqual(set(), vars(kind).keys() & private, f"{kind.__name__} overrides a private name")
        for module in (body_reader, connection, exchange, factory, twisted_web):
            used = private_names(inspect.getsource(module)) & private
            self.assertEqual(set(), used, f"{module.__name__} uses a private name of Twisted Web's")


class BridgeTests(SynchronousTestCase):
    """One request that Twisted Web reads, and what is around it."""

    def setUp(self) -> None:
        self.stage = ConnectionStage(TwistedWebEndpoint)
        self.client = self.stage.connect()

    def test_each_request_has_a_channel_of_its_own_which_goes_with_its_answer(self) -> None:
        bridges = []
        for _ in range(2):
            self.client.send(HOT)
            bridges.append(self.client.connection._bridge)
            self.client.finish()
            self.assertIsNone(self.client.connection._bridge)
        self.assertIsNot(*bridges)
        self.assertEqual([200, 200], self.client.statuses)

    def test_what_is_behind_a_request_is_left_to_the_connection(self) -> None:
        for request in (HOT, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n", PING):
            client = self.stage.connect()
            client.send(request + HOT[:20])
            client.send(HOT[20:])
            client.finish()
            self.assertEqual([200, 200], client.statuses)

    def test_the_body_of_a_form_reaches_the_handler_as_it_came(self) -> None:
        """Twisted Web would read a form, and refuse one that is none."""
        for body in (b"no form", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n'):
            self.client.send(FORM + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            self.client.finish()
            self.assertEqual(body, self.stage.asked[-1].body)
        self.assertEqual([200, 200], self.client.statuses)

    def test_a_head_that_twisted_web_alone_refuses_is_refused_in_our_words(self) -> None:
        self.patch(OneRequestChannel, "totalHeadersSize", 10)
        self.client.send(HOT + HOT)
        self.client.finish()
        (got,) = self.client.got
        self.assertEqual((400, True), (got.status, self.client.is_closing))
        self.assertIn(b"Invalid HTTP message.", got.body)

    def test_a_client_that_leaves_takes_its_request_along(self) -> None:
        for request in (HOT, H + b"Content-Length: 9\r\n\r\nabc", CHUNKED + b"3\r\nabc\r\n"):
            client = self.stage.connect()
            client.send(request)
            client.leave()
            self.stage.settle()
            self.assertEqual([], client.statuses)
        self.assertEqual([], self.stage.asked)
        self.assertEqual(0, self.stage.listener.memory.used)

    def test_a_transport_that_forgets_its_ends_with_its_socket(self) -> None:
        """Those of Twisted's do, which are used where the reactor has no loop of asyncio."""
        client = self.stage.connect()
        client.send(HOT)

        def forget() -> None:
            raise AttributeError("no socket any more")

        self.patch(client.transport, "getHost", forget)
        client.leave()
        self.stage.settle()
        self.assertEqual([], self.stage.failures)
        self.assertEqual([], client.statuses)

    def test_an_answer_waits_for_its_client(self) -> None:
        self.client.send(HOT)
        self.stage.turn()
        (worker,) = self.stage.waiting()
        worker.send_part(b"one ")
        self.client.connection.pauseProducing()
        self.assertTrue(self.client.transport.is_reading)  # so that it is seen when the client leaves
        worker.send_part(b"two ")
        self.client.connection.resumeProducing()
        worker.answer(Answer(200, b"", b"three"))
        self.client.finish()
        self.assertEqual([b"one two three"], [got.body for got in self.client.got])
