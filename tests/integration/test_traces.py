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
STEPS = """
from ts.torch_handler.base_handler import BaseHandler

class Handler(BaseHandler):
    def initialize(self, context):
        self.context = context

    def preprocess(self, data):
        return data

    def inference(self, data):
        with self.context.trace_span("tokens", {"count": 3}):
            self.context.set_trace_attribute("answer.kind", "text")
        return [self.context.get_traceparent(place) for place in range(len(data))]

    def postprocess(self, data):
        return data
"""
ASYNC = """
class Handler:
    def initialize(self, context):
        pass

    async def handle(self, data, context):
        with context.trace_span("thought"):
            return ["thought"] * len(data)
"""
STREAM = """
from ts.handler_utils.utils import send_intermediate_predict_response

def handle(data, context):
    if data is None:
        return None
    for part in range(3):
        send_intermediate_predict_response(["part"], context.request_ids, "", 200, context)
    return ["end"]
"""


class TracedServerTests(ServerTests):
    """A server with a collector of its own."""

    def setUp(self) -> None:
        self.collector = Collector()
        self.addCleanup(self.collector.close)

    def serve(self, models: dict[str, str], has_rpc: bool = False, **properties: str) -> ServerProcess:
        """Start a server that traces all requests."""
        return self.start(
            models=models,
            properties={"otel_exporter_otlp_endpoint": self.collector.endpoint, **properties},
            environment={"OTEL_BSP_SCHEDULE_DELAY": "50"},
            has_rpc=has_rpc,
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
        repeated = ("X-Note", "1"), ("X-Note", "2")  # with which the request is none of the plain ones
        connection.putrequest("POST", "/predictions/echo")
        for name, value in (("traceparent", CLIENT), ("Transfer-Encoding", "chunked"), *repeated):
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
        self.assertEqual("ModelNotFound", whole.attributes["modelserver.refusal"])
        self.assertNotIn("error.type", whole.attributes)
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


class WorkerTests(TracedServerTests):
    """What workers tell of their calls."""

    def names_below(self, span: Received) -> list[str]:
        """The names of the parts of a span."""
        return [part.name for part in self.collector.children(span)]

    def test_steps_of_the_base_handler_and_of_the_handler_itself(self) -> None:
        server = self.serve({"steps": STEPS})
        self.assert_ok(server.register("steps.mar"))
        answer = server.inference("POST", "/predictions/steps", b"x", {"traceparent": CLIENT})
        (whole,) = self.collector.wait_for(PREDICT)
        (batch,) = self.collector.named("batch")
        self.assertEqual(["decode", "handler"], self.names_below(batch))
        (handler,) = self.collector.named("handler")
        self.assertEqual(["preprocess", "inference", "postprocess"], self.names_below(handler))
        (tokens,) = self.collector.named("tokens")
        self.assertEqual({"count": 3}, tokens.attributes)
        self.assertEqual(["tokens"], self.names_below(self.collector.named("inference")[0]))
        self.assertEqual("text", whole.attributes["answer.kind"])
        self.assertEqual(f"00-{TRACE.hex()}-{handler.span_id.hex()}-01", answer.text)
        self.assertTrue(batch.start <= handler.start <= handler.end <= batch.end)

    def test_steps_of_a_batch_are_parts_of_it(self) -> None:
        server = self.serve({"steps": STEPS})
        self.assert_ok(server.register("steps.mar", batch_size=2, max_batch_delay=60_000))
        server.predict_together("steps", [b"x"] * 2)
        self.collector.wait_for(PREDICT, 2)
        (batch,) = [span for span in self.collector.named("batch") if not span.parent_id]
        self.assertEqual(["decode", "handler"], self.names_below(batch))
        self.assertEqual(1, len(self.collector.named("inference")))
        self.assertEqual(3, len(self.collector.named("handler")), "its own, and one for each request")

    def test_asynchronous_handler(self) -> None:
        server = self.serve({"thinks": ASYNC})
        archive = server.store / "thinks.mar"
        archive.unlink()
        self.add_model(server, "thinks", ASYNC, config_file=config_file(server, "asyncCommunication: true\n"))
        self.assert_ok(server.register("thinks.mar"))
        self.assert_ok(server.predict("thinks", b"x"))
        (whole,) = self.collector.wait_for(PREDICT)
        self.assert_covered(whole)
        (handler,) = self.collector.named("handler")
        self.assertEqual(["thought"], self.names_below(handler))

    def test_streamed_answer(self) -> None:
        server = self.serve({"stream": STREAM})
        self.assert_ok(server.register("stream.mar"))
        self.assertEqual("partpartpartend", server.predict("stream", b"x").text)
        (whole,) = self.collector.wait_for(PREDICT)
        self.assertEqual(("first part",), whole.moments)
        self.assert_covered(whole)


def config_file(server: ServerProcess, text: str) -> str:
    """A ``model-config.yaml``."""
    path = server.folder / "model-config.yaml"
    path.write_text(text)
    return str(path)


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
