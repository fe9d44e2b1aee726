"""The services behind real connections: HTTP/2 in, a worker in memory, HTTP/2 out."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from modelserver.errors import PredictionFailed
from modelserver.jobs import Answer
from modelserver.protocol.frames import show_id
from modelserver.rpc.codes import Code
from modelserver.rpc.methods import TORCHSERVE_INFERENCE
from tests.harness.http2_client import message
from tests.harness.rpc import RpcStage
from tests.harness.rpc_messages import type_of
from tests.harness.rpc_services import RpcCase
from tests.rpc.test_inference import request

PREDICTIONS = f"/{TORCHSERVE_INFERENCE}/Predictions"
STREAM = f"/{TORCHSERVE_INFERENCE}/StreamPredictions"
SEQUENCES = f"/{TORCHSERVE_INFERENCE}/StreamPredictions2"


def framed(asked: Any) -> bytes:
    return message(asked.SerializeToString())


class ConnectionTests(RpcCase):
    """Calls of one client."""

    def setUp(self) -> None:
        super().setUp()
        self.listener = RpcStage(site=self.sites["inference"], clock=self.clock)  # type: ignore[arg-type]  # a site as any
        self.version = self.serve(stateful=False)
        self.client = self.listener.connect()

    def begin(self, path: str, asked: Any = None, **more: Any) -> int:
        """Begin a call, and let the worker be given its request."""
        stream = self.client.http2.request(path, None if asked is None else framed(asked), **more)
        self.settle()
        return stream

    def settle(self) -> None:
        """Let happen what was to happen."""
        self.client.pump()
        self.stage.turn()
        self.client.pump()

    def predictions(self, stream: int) -> list[bytes]:
        """What has come."""
        kind = type_of("inference.PredictionResponse")
        return [kind.FromString(each).prediction for each in self.client.http2.answers[stream].messages]

    def test_prediction(self) -> None:
        stream = self.begin(PREDICTIONS, request(data=b"x"), more=[(b"x-a", b"b"), (b"k-bin", b"AAE=")])
        job = self.job.request
        self.assertIn(b"x-a: b\r\n", job.header_block)
        self.assertNotIn(b"application/grpc", job.header_block)
        self.worker.answer(Answer(200, b"\r\nx-c: d\r\n", b"answer"))
        self.settle()
        answer = self.client.http2.answers[stream]
        self.assertEqual((self.predictions(stream), answer.status), ([b"answer"], 0))
        self.assertEqual(answer.tail[b"x-c"], b"d")
        self.assertIn(show_id(job.id), (answer.head.get(b"x-request-id"), answer.tail.get(b"x-request-id")))
        self.assertEqual(self.ended.codes, [Code.OK])

    def test_error_has_two_lines(self) -> None:
        stream = self.begin(PREDICTIONS, request("nope"))
        answer = self.client.http2.answers[stream]
        self.assertEqual(answer.status, 13)
        self.assertEqual(
            unquote(answer.text),
            "Model not found: nope\norg.pytorch.serve.archive.model.ModelNotFoundException",
        )
        self.assertEqual(self.ended.codes, [Code.INTERNAL])

    def test_time_limit_is_the_jobs(self) -> None:
        stream = self.begin(PREDICTIONS, request(), more=[(b"grpc-timeout", b"2S")])
        deadline = self.job.request.deadline
        assert deadline is not None
        self.assertAlmostEqual(deadline, self.clock.seconds() + 2, places=3)
        for _ in range(6):
            self.clock.advance(0.5)
            self.settle()
        self.assertEqual(self.client.http2.answers[stream].status, 4)
        self.assertEqual(self.ended.codes, [Code.DEADLINE_EXCEEDED])

    def test_reset_withdraws_the_job(self) -> None:
        stream = self.begin(STREAM, request())
        self.worker.send_part(b"a")
        self.settle()
        self.client.http2.connection.reset_stream(stream, 8)
        self.settle()
        self.assertEqual(len(self.worker.cancelled), 1)
        self.assertEqual(self.ended.codes, [Code.CANCELLED])

    def test_connection_that_is_lost_withdraws_its_jobs(self) -> None:
        self.begin(STREAM, request())
        self.worker.send_part(b"a")
        self.begin(PREDICTIONS, request())
        self.client.leave()
        self.assertEqual((len(self.worker.cancelled), self.version.queue.waiting), (1, 0))

    def test_client_that_does_not_read_holds_its_handler(self) -> None:
        self.client.http2.takes = False
        stream = self.begin(STREAM, request())
        part, sent = b"x" * 30_000, 0
        while not self.worker.holds and sent < 100:
            self.worker.send_part(part)
            self.settle()
            sent += 1
        self.assertEqual([held for _, held in self.worker.holds], [True])
        self.client.http2.connection.increment_flow_control_window(1 << 20)
        self.client.http2.connection.increment_flow_control_window(1 << 20, stream)
        self.settle()
        self.assertEqual([held for _, held in self.worker.holds], [True, False])
        self.worker.answer(Answer(200, b"", b"end"))
        self.settle()
        self.assertEqual(self.predictions(stream), [*[part] * sent, b"end"])

    def test_sequence_until_the_client_ends_its_side(self) -> None:
        stream = self.begin(SEQUENCES)
        self.client.http2.data(stream, framed(request(sequence="s")))
        self.settle()
        self.worker.answer(PredictionFailed(503, "Prediction failed"))
        self.settle()
        self.client.http2.data(stream, framed(request(sequence="s")), ends=True)
        self.settle()
        self.worker.answer(Answer(200, b"", b"b"))
        self.settle()
        answer = self.client.http2.answers[stream]
        self.assertEqual((self.predictions(stream), answer.status, answer.is_ended), ([b"", b"b"], 0, True))
        self.assertEqual(self.ended.codes, [Code.OK])

    def test_large_answer(self) -> None:
        self.client.http2.connection.increment_flow_control_window(1 << 24)
        stream = self.begin(PREDICTIONS, request())
        self.client.http2.connection.increment_flow_control_window(1 << 24, stream)
        body = bytes(range(256)) * 4096
        self.worker.answer(Answer(200, b"", memoryview(body)))
        self.settle()
        self.assertEqual(self.predictions(stream), [body])
