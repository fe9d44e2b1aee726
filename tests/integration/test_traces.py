"""Traces of a real server, as a collector gets them."""

from __future__ import annotations

import http.client
import json
import signal
from collections.abc import Sequence

from tests.harness.collector import Collector, Received, covered
from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually
from tests.integration.test_core import ECHO, SIZES

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, SPAN = (bytes.fromhex(part) for part in CLIENT.split("-")[1:3])
PREDICT = "POST /predictions/{model_name}"
SERVER_KIND = 2
ONCE_DEADLY = """
import os

def handle(data, context):
    if data is None:
        return None
    note = bytes(data[0].get("body")).decode()
    if not os.path.exists(note):
        open(note, "w").close()
        os.kill(os.getpid(), 9)
    return ["lived"] * len(data)
"""


class TracedServerTests(ServerTests):
    """A server with a collector of its own."""

    def setUp(self) -> None:
        self.collector = Collector()
        self.addCleanup(self.collector.close)

    def serve(self, models: dict[str, str], **properties: str) -> ServerProcess:
        """Start a server that traces all requests."""
        return self.start(
            models=models,
            properties={"otel_exporter_otlp_endpoint": self.collector.endpoint, **properties},
            environment={"OTEL_BSP_SCHEDULE_DELAY": "50"},
        )

    def assert_covered(self, whole: Received) -> Sequence[Received]:
        """Fail unless the parts of a span cover nearly all of its time; returns them."""
        parts = self.collector.children(whole)
        share = covered(whole, parts)
        self.assertGreaterEqual(share, 0.95, [(part.name, part.end - part.start) for part in parts])
        return parts


class PredictionTests(TracedServerTests):
    """Predictions, whichever way they are read."""

    def test_plain_request(self) -> None:
        server = self.serve({"echo": ECHO})
        self.assert_ok(server.register("echo.mar"))
        self.assert_ok(server.inference("POST", "/predictions/echo", b"x", {"Traceparent": CLIENT}))
        (whole,) = self.collector.wait_for(PREDICT)
        self.assertEqual((TRACE, SPAN, SERVER_KIND), (whole.trace_id, whole.parent_id, whole.kind))
        self.assertEqual(200, whole.attributes["http.response.status_code"])
        self.assertEqual("/predictions/{model_name}", whole.attributes["http.route"])
        self.assertEqual("modelserver", whole.resource["service.name"])
        self.assertEqual(["queue", "batch", "respond"], [part.name for part in self.assert_covered(whole)])

    def test_request_that_twisted_web_reads(self) -> None:
        server = self.serve({"echo": ECHO})
        self.assert_ok(server.register("echo.mar"))
        connection = http.client.HTTPConnection(HOST, server.ports[0], timeout=LONGEST)
        self.addCleanup(connection.close)
        headers = {"traceparent": CLIENT, "Transfer-Encoding": "chunked"}
        connection.putrequest("POST", "/predictions/echo")
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        server.management("GET", "/models")  # the body takes its time, and this is seen
        connection.send(b"1\r\nx\r\n0\r\n\r\n")
        response = connection.getresponse()
        self.assertEqual((200, b"x"), (response.status, response.read()))
        (whole,) = self.collector.wait_for(PREDICT)
        self.assertEqual((TRACE, SPAN), (whole.trace_id, whole.parent_id))
        parts = self.assert_covered(whole)
        self.assertEqual(["receive", "queue", "batch", "respond"], [part.name for part in parts])

    def test_batch_of_eight(self) -> None:
        server = self.serve({"sizes": SIZES})
        self.assert_ok(server.register("sizes.mar", batch_size=8, max_batch_delay=60_000))
        server.predict_together("sizes", [b"x"] * 8)
        wholes = self.collector.wait_for(PREDICT, 8)
        (batch,) = [span for span in self.collector.wait_for("batch", 9) if not span.parent_id]
        self.assertEqual({(each.trace_id, each.span_id) for each in wholes}, set(batch.links))
        for whole in wholes:
            parts = self.assert_covered(whole)
            (own,) = [part for part in parts if part.name == "batch"]
            self.assertEqual(((batch.trace_id, batch.span_id),), own.links)

    def test_crash_and_second_try(self) -> None:
        server = self.serve({"deadly": ONCE_DEADLY})
        self.assert_ok(server.register("deadly.mar"))
        answer = server.predict("deadly", str(server.folder / "note").encode())
        self.assertEqual("lived", answer.text)
        (whole,) = self.collector.wait_for(PREDICT)
        parts = self.assert_covered(whole)
        self.assertEqual(["queue", "batch", "queue", "batch", "respond"], [part.name for part in parts])
        self.assertIn("SIGKILL", parts[1].error)
        self.assertEqual(("worker lost",), whole.moments)
        self.collector.wait_for("worker start", 2)

    def test_refusal_and_where_its_trace_stands(self) -> None:
        server = self.serve({}, log_format="json")
        answer = server.inference("POST", "/predictions/none", b"x", {"traceparent": CLIENT})
        self.assertEqual((404, TRACE.hex()), (answer.status, answer.json()["traceId"]))
        (whole,) = self.collector.wait_for(PREDICT)
        self.assertEqual("ModelNotFound", whole.attributes["error.type"])
        self.assertFalse(whole.is_error, "it is the client's")
        log = server.folder / "logs" / "access_log.log"
        line = json.loads(eventually(log.read_text))
        self.assertEqual((404, TRACE.hex()), (line["status"], line["trace_id"]))

    def test_placeholder_of_the_access_log(self) -> None:
        server = self.serve({}, access_log_format="{status} of {uri}: {trace_id}")
        server.inference("POST", "/predictions/none", b"x", {"traceparent": CLIENT})
        log = server.folder / "logs" / "access_log.log"
        line = eventually(log.read_text)
        self.assertTrue(line.endswith(f" - 404 of /predictions/none: {TRACE.hex()}\n"), line)


class CollectorTests(TracedServerTests):
    """Collectors that are not there, or do not answer."""

    def test_collector_that_hangs_costs_no_request_and_no_end(self) -> None:
        server = self.serve({"echo": ECHO}, otel_bsp_max_queue_size="64")
        self.assert_ok(server.register("echo.mar"))
        self.collector.hold.clear()
        for _ in range(100):
            self.assert_ok(server.predict("echo", b"x"))
        eventually(lambda: self.collector.requests)
        self.assertEqual(-signal.SIGTERM, server.terminate())
        self.assertRegex(server.log, r"\d+ spans of \d+ were lost")

    def test_collector_that_is_not_there(self) -> None:
        server = self.serve({"echo": ECHO})
        self.collector.close()
        self.assert_ok(server.register("echo.mar"))
        for _ in range(20):
            self.assert_ok(server.predict("echo", b"x"))
        eventually(lambda: "could not be sent" in server.log)
        self.assertEqual(-signal.SIGTERM, server.terminate())
