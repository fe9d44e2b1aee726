"""Answers in parts, through a real server: as they are sent, and as fast as they are read."""

from __future__ import annotations

import re
import socket
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from unittest import TestCase

import pytest

from modelserver.archive.pack import PackRequest, pack
from tests.harness.server_process import LONGEST, ServerProcess, eventually

pytestmark = pytest.mark.xdist_group("streaming")

HANDLER = '''
"""Streams as its header x-do says, and writes down what becomes of it."""

import os
import time

from ts.handler_utils.utils import send_intermediate_predict_response


def handle(data, context):
    if data is None:
        return None
    what, note = context.get_request_header(0, "X-Do"), context.get_request_header(0, "X-Note")

    def log(line):
        with open(note, "a") as file:
            file.write(line + "\\n")

    def wait_for(name):
        while not os.path.exists(note + name):
            time.sleep(0.01)

    def send(text):
        parts = [text] * len(data)
        send_intermediate_predict_response(parts, context.request_ids, "Intermediate", 200, context)
        log("sent")

    log("begun")
    try:
        if what == "ten":
            for number in range(10):
                send(f"part {number};")
                wait_for(f".{number}")
        elif what == "burst":
            for number in range(50):
                send(f"part {number};")
            wait_for(".0")
        elif what == "empty":
            for text in ("", "a", "", "b"):
                send(text)
            return [""] * len(data)
        elif what == "only-empty":
            send("")
        elif what == "fail":
            send("a")
            raise ValueError("after the first part")
        elif what == "code":
            send("a")
            send_intermediate_predict_response(["b"], context.request_ids, "no", 507, context)
        elif what == "much":
            for _ in range(400):
                send("x" * 100_000)
        elif what == "late":
            wait_for(".go")
            send("a")
            send("b")
    except Exception as error:
        log(type(error).__name__)
        raise
    return ["last"] * len(data)
'''
BOTH_WAYS = (b"", b"X-Two: a\r\nX-Two: b\r\n")
"""Headers of a request that a channel serves itself, and of one that goes through Twisted Web."""


class StreamingTests(TestCase):
    """``send_intermediate_predict_response``, on both ways through the server."""

    server: ClassVar[ServerProcess]

    @classmethod
    def setUpClass(cls) -> None:
        """Start one server for all."""
        folder = TemporaryDirectory(prefix="modelserver-test-")
        cls.addClassCleanup(folder.cleanup)
        properties = {
            "disable_token_authorization": "true",
            "enable_model_api": "true",
            "default_workers_per_model": "1",
        }
        cls.server = server = ServerProcess(Path(folder.name), properties, ["--models", "stream=stream.mar"])
        server.store.mkdir()
        handler = server.folder / "stream.py"
        handler.write_text(HANDLER)
        pack(PackRequest("stream", version="1.0", handler=str(handler), export_path=server.store))
        server.start()
        cls.addClassCleanup(server.end)
        eventually(lambda: server.predict("stream").status != 404)

    def setUp(self) -> None:
        self.notes = self.server.folder / f"notes-{self.id()}"
        self.count = 0

    def stream(self, what: str, more: bytes) -> socket.socket:
        """Ask for a stream."""
        self.count += 1
        self.note = Path(f"{self.notes}-{self.count}")
        self.note.unlink(missing_ok=True)  # a second try of this test
        connection = socket.create_connection(("127.0.0.1", self.server.ports[0]), LONGEST)
        self.addCleanup(connection.close)
        head = f"POST /predictions/stream HTTP/1.1\r\nHost: a\r\nX-Do: {what}\r\nX-Note: {self.note}\r\n"
        connection.sendall(head.encode() + more + b"Content-Length: 1\r\n\r\nx")
        return connection

    def noted(self) -> list[str]:
        """What the handler has written down."""
        return self.note.read_text().split() if self.note.exists() else []

    def let(self, name: str) -> None:
        """Let the handler go on."""
        Path(f"{self.note}.{name}").touch()

    def answer(self, what: str, more: bytes) -> HTTPResponse:
        """The head of a stream's answer."""
        response = HTTPResponse(self.stream(what, more))
        self.addCleanup(response.close)
        response.begin()
        return response

    def test_each_part_arrives_as_it_is_sent(self) -> None:
        for more in BOTH_WAYS:
            response = self.answer("ten", more)
            self.assertEqual(response.status, 200)
            self.assertEqual(response.getheader("transfer-encoding"), "chunked")
            self.assertEqual(response.getheader("ts_stream_next"), "true")
            for number in range(10):
                part = f"part {number};".encode()
                self.assertEqual(response.read(len(part)), part)  # the handler waits: no other has been sent
                self.let(str(number))
            self.assertEqual(response.read(), b"last")

    def test_parts_in_quick_succession_do_not_wait_for_the_next_one(self) -> None:
        for more in BOTH_WAYS * 5:
            response = self.answer("burst", more)
            expected = b"".join([b"part %d;" % number for number in range(50)])
            self.assertEqual(response.read(len(expected)), expected)  # the handler waits
            self.let("0")
            self.assertEqual(response.read(), b"last")

    def test_each_part_is_one_chunk(self) -> None:
        connection = self.stream("ten", b"")
        for number in range(10):
            self.let(str(number))
        with connection.makefile("rb") as stream:
            while stream.readline() != b"\r\n":
                pass
            for number in range(10):
                self.assertEqual(stream.readline(), b"7\r\n")
                self.assertEqual(stream.readline(), b"part %d;\r\n" % number)
            rest = [stream.readline() for _ in range(4)]
            self.assertEqual(rest, [b"4\r\n", b"last\r\n", b"0\r\n", b"\r\n"])

    def test_empty_parts_are_no_chunks(self) -> None:
        for more in BOTH_WAYS:
            response = self.answer("empty", more)
            self.assertEqual(response.getheader("ts_stream_next"), "true")
            self.assertEqual(response.read(), b"ab")

    def test_answer_after_empty_parts_only_is_no_stream(self) -> None:
        response = self.answer("only-empty", b"")
        self.assertEqual(response.getheader("content-length"), "4")
        self.assertEqual(response.getheader("ts_stream_next"), "false")
        self.assertEqual(response.read(), b"last")

    def test_failure_after_the_first_part_cuts_the_body_off(self) -> None:
        for more in BOTH_WAYS:
            for what in ("fail", "code"):
                response = self.answer(what, more)
                self.assertEqual(response.status, 200)
                with self.assertRaises((IncompleteRead, ConnectionError)):
                    response.read()

    def test_slow_client_holds_the_handler(self) -> None:
        for more in BOTH_WAYS:
            response = self.answer("much", more)
            held = eventually(self.settled)
            self.assertLess(held, 200)
            size = len(response.read())
            self.assertEqual(size, 400 * 100_000 + 4)
            self.assertEqual(self.noted().count("sent"), 400)

    def settled(self) -> int:
        """How many parts were sent, once it does not change any more."""
        counts = [self.noted().count("sent")]
        for _ in range(10):
            self.forgotten()
            counts.append(self.noted().count("sent"))
        return counts[-1] if counts[0] == counts[-1] else 0

    def test_handler_learns_at_its_next_part_that_the_client_left(self) -> None:
        for more in BOTH_WAYS:
            connection = self.stream("ten", more)
            received = b""
            for number in range(3):
                while f"part {number};".encode() not in received:
                    received += connection.recv(4096)
                if number < 2:
                    self.let(str(number))
            connection.close()
            self.forgotten()
            for number in range(2, 10):
                self.let(str(number))
            eventually(lambda: self.noted()[-1] == "ClientsGone")
            self.assertLessEqual(self.noted().count("sent"), 4)

    def forgotten(self) -> None:
        """Wait until the server has handled what had happened before."""
        for _ in range(2):
            self.assertEqual(self.server.inference("GET", "/ping").status, 200)

    def test_client_that_left_before_the_first_part(self) -> None:
        for more in BOTH_WAYS:
            connection = self.stream("late", more)
            eventually(lambda: self.noted() == ["begun"])
            connection.close()
            self.forgotten()
            self.let("go")
            eventually(lambda: self.noted()[-1] == "ClientsGone")
            self.assertLessEqual(self.noted().count("sent"), 1)

    def test_client_that_left_while_the_handler_was_held(self) -> None:
        for more in BOTH_WAYS:
            connection = self.stream("much", more)
            eventually(lambda: self.noted().count("sent") > 5)
            connection.close()
            eventually(lambda: self.noted()[-1] == "ClientsGone")
            self.assertLess(self.noted().count("sent"), 400)

    def test_worker_serves_on(self) -> None:
        before = re.findall(r'"pid": \d+', self.server.management("GET", "/models/stream").text)
        self.test_failure_after_the_first_part_cuts_the_body_off()
        after = re.findall(r'"pid": \d+', self.server.management("GET", "/models/stream").text)
        self.assertEqual(before, after)
