"""The server on every reactor that somebody may choose: it serves, manages, and recovers as on its own."""

from __future__ import annotations

import socket

from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually, is_alive

MODEL = """
import os

def handle(data, context):
    if data is None:
        return None
    return [bytes(row["body"]) + b" from %d" % os.getpid() for row in data]
"""


class ReactorTests(ServerTests):
    """One walk through everything a reactor has a part in."""

    def walk(self, server: ServerProcess) -> None:
        """Predict, manage, scale, lose a worker, end."""
        for start in ("spawn", "template"):
            self.assert_ok(server.register("pid.mar", worker_start=start, model_name=start))
            (first,) = server.pids(start)
            self.assertEqual(f"one from {first}", server.predict(start, b"one").text)
            self.assertEqual(202, server.management("PUT", f"/models/{start}?min_worker=3").status)
            eventually(lambda start=start: server.ready(start) == 3)  # type: ignore[misc]  # it has defaults
            self.assert_ok(server.scale(start, 1))
            (left,) = server.pids(start)
            self.kill_worker(left)
            eventually(lambda start=start, left=left: server.pids(start) not in ([], [left]))  # type: ignore[misc]  # it has defaults
            again = server.predict(start, b"two")
            self.assertEqual(200, again.status, again.text)
            self.assertEqual(f"two from {server.pids(start)[0]}", again.text)
        large = b"x" * 2_000_000
        self.assertTrue(server.predict("spawn", large).body.startswith(large))
        self.assertEqual(200, server.inference("GET", "/ping").status)
        self.pipeline(server)
        self.assert_ok(server.management("DELETE", "/models/spawn"))
        self.assertEqual(404, server.predict("spawn").status)
        left_over = server.children()
        server.terminate()
        self.assertEqual([], [pid for pid in left_over if is_alive(pid)])
        self.assertEqual([], list(server.temporary.iterdir()))

    def pipeline(self, server: ServerProcess) -> None:
        """Requests on one connection, the last of them wrong: an answer to each, and then the end."""
        hot = b"POST /predictions/spawn HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
        sent = b"".join(hot % number for number in range(9)) + b"GET /models HTTP/9\r\n\r\n"
        with socket.create_connection((HOST, server.ports[0]), LONGEST) as client:
            client.sendall(sent)
            received = b""
            while data := client.recv(65536):
                received += data
        self.assertEqual(9, received.count(b"HTTP/1.1 200 "))
        self.assertEqual(1, received.count(b"HTTP/1.1 400 "))
        places = [received.find(b"%d from" % number) for number in range(9)]
        self.assertEqual(sorted(places), places)

    def test_own_choice(self) -> None:
        server = self.start(models={"pid": MODEL})
        self.assertIn("AsyncioSelectorReactor", server.log)
        self.walk(server)

    def test_epoll(self) -> None:
        server = self.start(models={"pid": MODEL}, reactor="epoll")
        self.assertIn("EPollReactor", server.log)
        self.walk(server)

    def test_select(self) -> None:
        server = self.start(models={"pid": MODEL}, reactor="select")
        self.assertIn("SelectReactor", server.log)
        self.walk(server)
