"""Calls that are over are gone at once: none waits for the collector, which would be costly for thousands."""

from __future__ import annotations

import gc
from collections.abc import Callable
from weakref import ref

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import PredictionFailed
from modelserver.http1.states import Phase
from modelserver.jobs import Answer
from modelserver.rpc.connection import RpcConnection
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.rpc import RpcStage
from tests.harness.rpc_services import OIP, RpcCase
from tests.rpc.test_health import request as health_request
from tests.rpc.test_inference import request
from tests.rpc.test_open_inference import infer

CALLS = (
    ("Predictions", request()),
    ("StreamPredictions", request()),
    ("StreamPredictions2", request(sequence="s")),
    (f"{OIP}/ModelInfer", infer()),
    (f"{OIP}/ModelStreamInfer", infer()),
)


class NothingStaysTests(RpcCase):
    """Each kind of call, ended in each way."""

    def setUp(self) -> None:
        super().setUp()
        gc.collect()
        gc.disable()
        self.addCleanup(gc.enable)

    def is_gone_after(self, begin: Callable[[], MemoryCall], end: Callable[[MemoryCall], object]) -> bool:
        """Whether nothing refers to a call that has ended."""
        call = begin()
        end(call)
        self.stage.turn()
        self.assertIsNotNone(call.status)
        kept = ref(call)
        del call
        return kept() is None

    def test_answered(self) -> None:
        self.serve()
        for name, asked in CALLS:
            for answer in (Answer(200, b"", b""), PredictionFailed(503, "no")):
                with self.subTest(name, answer=answer):
                    self.assertTrue(
                        self.is_gone_after(
                            lambda name=name, asked=asked: self.call(name, asked),  # type: ignore[misc]  # it has defaults
                            lambda call, answer=answer: self.worker.answer(answer),  # type: ignore[misc]  # it has defaults
                        )
                    )

    def test_cancelled(self) -> None:
        self.serve()
        for name, asked in CALLS:
            for parts in (0, 1):
                with self.subTest(name, parts=parts):

                    def leave(call: MemoryCall, parts: int = parts) -> None:
                        for _ in range(parts):
                            self.worker.send_part(b"x")
                        call.cancel()
                        self.worker.answer(Answer(200, b"", b""))

                    self.assertTrue(
                        self.is_gone_after(
                            lambda name=name, asked=asked: self.call(name, asked, ends=False),  # type: ignore[misc]  # it has defaults
                            leave,
                        )
                    )

    def test_refused(self) -> None:
        for name, asked in CALLS:
            with self.subTest(name):
                self.assertTrue(
                    self.is_gone_after(
                        lambda name=name, asked=asked: self.call(name, asked),  # type: ignore[misc]  # it has defaults
                        lambda call: None,
                    )
                )

    def test_watched(self) -> None:
        self.assertTrue(
            self.is_gone_after(
                lambda: self.call("grpc.health.v1.Health/Watch", health_request()), MemoryCall.cancel
            )
        )


class LingeringTests(SynchronousTestCase):
    """Connections that have ended, and wait for their clients to close."""

    def test_answers_that_the_client_had_no_room_for_are_not_kept(self) -> None:
        stage = RpcStage()
        for end in (RpcConnection.abort, lambda connection: connection.dataReceived(bytes(100))):
            client = stage.connect()
            client.http2.takes = False
            client.ask("Echo", bytes(200_000))
            engine = ref(client.connection.engine)
            end(client.connection)
            self.assertEqual((Phase.LINGER, None), (client.connection.phase, engine()))
