"""Workflows over gRPC: asked by their names, where no model has them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.child.data.decoder import inputs_of
from modelserver.errors import PredictionFailed
from modelserver.inference.health import ServerHealth
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rpc.codes import Code
from modelserver.rpc.health import NOT_SERVING, SERVICE_UNKNOWN, SERVING, HealthState
from modelserver.rpc.inference import Predictions
from modelserver.rpc.predictions import AnswerRules, Predictor, StreamedAnswer, WholeAnswer
from modelserver.rpc.status import PREDICTION_ENDINGS, Statuses
from modelserver.security.authorization import AllowAll
from modelserver.spec import WorkerFailure
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.rpc_messages import type_of
from tests.harness.run_stage import CHAIN, NAME, RunStage
from tests.rpc.test_inference import request


class WorkflowTests(SynchronousTestCase):
    """Predictions and StreamPredictions."""

    def setUp(self) -> None:
        self.run_stage = RunStage(CHAIN)
        self.predictor = Predictor(
            self.run_stage.inference, self.run_stage.clock, workflows=self.run_stage.workflows
        )

    def ask(
        self, answers_with: type[WholeAnswer] | type[StreamedAnswer] = WholeAnswer, name: str = NAME
    ) -> MemoryCall:
        """Ask the workflow."""
        statuses = Statuses(TorchServe(), PREDICTION_ENDINGS)
        method = Predictions("/s/m", self.predictor, statuses, AnswerRules(), answers_with)
        call = MemoryCall()
        method.message(call, request(name, data=b"in", k=b"v").SerializeToString())
        self.run_stage.stage.turn()
        return call

    def test_first_node_gets_the_inputs_and_the_client_the_last_answer(self) -> None:
        for kind in (WholeAnswer, StreamedAnswer):
            call = self.ask(kind)
            (job,) = self.run_stage.jobs("pre")
            body = self.run_stage.body_of(job)
            self.assertEqual(inputs_of(body), {"data": b"in", "k": b"v"})
            for node in ("pre", "mid", "post"):
                self.run_stage.answer(node, node.encode())
            (message,) = call.messages
            found = type_of("inference.PredictionResponse").FromString(message)
            assert call.status is not None
            self.assertEqual((found.prediction, call.status.code), (b"post", Code.OK))

    def test_node_that_fails(self) -> None:
        call = self.ask()
        self.run_stage.answer("pre", PredictionFailed(503, "Prediction failed"))
        for _ in range(5):
            self.run_stage.clock.advance(10)
        assert call.status is not None
        self.assertIsNot(call.status.code, Code.OK)
        self.assertEqual(call.messages, [])

    def test_client_that_leaves(self) -> None:
        call = self.ask()
        call.cancel()
        self.assertEqual((self.run_stage.workflows.runs_of(), self.run_stage.jobs("pre")), (0, []))

    def test_health_tells_whether_each_node_has_a_worker(self) -> None:
        stage = self.run_stage
        state = HealthState(
            ServerHealth(stage.inference.registry), self.predictor.either, ("service",), AllowAll()
        )
        self.assertEqual((state.of(NAME), state.of("nope")), (SERVING, SERVICE_UNKNOWN))
        stage.worker("mid").exit(WorkerFailure("exit", 0.0, exit_code=1))
        self.assertEqual(state.of(NAME), NOT_SERVING)

    def test_neither_a_model_nor_a_workflow(self) -> None:
        call = self.ask(name="nope")
        assert call.status is not None
        self.assertEqual(call.status.message.split("\n")[0], "Model not found: nope")
