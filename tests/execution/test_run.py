"""Runs of workflows: what each node gets, and what its clients are told."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import BadRequest, DeadlinePassed, NoWorkers, QueueFull
from modelserver.jobs import Answer, Inputs
from modelserver.protocol.frames import BARE, FIELDS, RAW
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import CollectingObserver
from modelserver.workflows.errors import NodeFailed, WorkflowNotFound
from modelserver.workflows.spec import Workflow
from tests.harness.run_stage import CHAIN, DIAMOND, FAILURE, FORK, RunStage, settings

HEADERS = b"X-A: 1\r\nContent-Type: application/json\r\n"
JSON = b"OK\r\ncontent-type: application/json\r\n"
CRASH = WorkerFailure("signal", 0.0, signal="SIGKILL")


class InputTests(SynchronousTestCase):
    """What each node gets."""

    def test_first_node_gets_the_request(self) -> None:
        stage = RunStage(CHAIN)
        stage.ask(b"[1]", HEADERS)
        (job,) = stage.jobs("pre")
        self.assertEqual(
            (b"[1]", HEADERS, BARE), (job.request.body, job.request.header_block, job.request.flags)
        )

    def test_next_node_gets_bytes_and_the_headers_of_the_request(self) -> None:
        stage = RunStage(CHAIN)
        stage.ask(b"[1]", HEADERS)
        stage.answer("pre", b"[2]")
        (job,) = stage.jobs("mid")
        self.assertEqual(
            (b"[2]", HEADERS, RAW), (job.request.body, job.request.header_block, job.request.flags)
        )

    def test_node_with_several_parents_gets_a_field_for_each(self) -> None:
        stage = RunStage({"pre": ["left", "show"], "left": ["show"]})
        stage.ask(b"in", HEADERS)
        stage.answer("pre", b"one")
        self.assertEqual([], stage.jobs("show"))
        stage.answer("left", b"seven")
        (job,) = stage.jobs("show")
        self.assertEqual((b"onesev" + b"en", FIELDS), (job.request.body, job.request.flags))
        self.assertEqual({"fields": [["pre", 3], ["left", 5]]}, json.loads(job.request.extra))

    def test_parents_may_answer_in_any_order(self) -> None:
        for first, second in (("left", "right"), ("right", "left")):
            stage = RunStage(DIAMOND)
            stage.ask()
            stage.answer("pre", b"p")
            stage.answer(first, first.encode())
            stage.answer(second, second.encode())
            self.assertEqual([b"leftright"], stage.inputs("post"))


class AnswerTests(SynchronousTestCase):
    """What clients get."""

    def ends_with(self, answer: Answer, is_strict: bool = False) -> Answer:
        """What a client gets of a chain whose last node answers so."""
        stage = RunStage(CHAIN, is_strict=is_strict)
        observer, _ = stage.ask()
        stage.answer("pre", Answer(404, b"No\r\nx-of: pre\r\n", b"p"))
        stage.answer("mid", b"m")
        stage.answer("post", answer)
        (got,) = observer.answers
        return got

    def test_one_leaf_says_status_type_and_headers(self) -> None:
        for given, got in (
            (Answer(200, b"", b"x"), Answer(200, JSON, b"x")),
            (Answer(200, b"", b""), Answer(200, JSON, b"")),
            (
                Answer(202, b"Soon\r\nx-a: b\r\n", b"x"),
                Answer(202, b"Soon\r\nx-a: b\r\ncontent-type: application/json\r\n", b"x"),
            ),
            (
                Answer(200, b"\r\nContent-Type: image/png\r\n", b"x"),
                Answer(200, b"\r\nContent-Type: image/png\r\n", b"x"),
            ),
        ):
            self.assertEqual(got, self.ends_with(given))

    def test_strictly_as_the_peer_they_do_not_count(self) -> None:
        given = Answer(202, b"Soon\r\ncontent-type: image/png\r\n", b"x")
        self.assertEqual(Answer(200, JSON, b"x"), self.ends_with(given, is_strict=True))

    def test_several_leaves_make_one_object_in_the_order_of_the_graph(self) -> None:
        for first, second in (("left", "right"), ("right", "left")):
            stage = RunStage(FORK)
            observer, _ = stage.ask()
            stage.answer("pre", b"p")
            stage.answer(first, b'{"of": "%s"}' % first.encode())
            stage.answer(second, b'{"of": "%s"}' % second.encode())
            (answer,) = observer.answers
            self.assertEqual((200, JSON), answer[:2])
            self.assertEqual(
                '{"left": {"of": "left"}, "right": {"of": "right"}}',
                json.dumps(json.loads(bytes(answer.body))),
            )

    def test_leaf_of_several_that_is_no_json_fails_the_run(self) -> None:
        for body in (b"text", b"", "ü".encode("utf-16"), b"[" * 100_000):
            stage = RunStage(FORK)
            observer, _ = stage.ask()
            stage.answer("pre", b"p")
            stage.answer("left", b"[1.0]")
            stage.answer("right", body)
            (error,) = observer.errors
            assert isinstance(error, NodeFailed)
            self.assertEqual(("Error executing right", "right"), (str(error), error.node))
            self.assertIn("no JSON", error.reason)

    def test_trace_tells_times_and_attempts(self) -> None:
        stage = RunStage({"p re": ["post"]})
        observer, _ = stage.ask(headers=b"x-workflow-TRACE: True\r\n")
        stage.clock.advance(0.25)
        stage.answer("p re", FAILURE)
        stage.clock.advance(0.25)
        stage.answer("p re", b"1")
        stage.clock.advance(0.125)
        stage.answer("post", b"2")
        line = b"x-workflow-trace: p%20re;ms=500.0;attempts=2, post;ms=125.0;attempts=1\r\n"
        self.assertEqual([Answer(200, JSON + line, b"2")], observer.answers)

    def test_requests_and_nodes_are_counted_once_each(self) -> None:
        stage = RunStage(CHAIN)
        stage.ask()
        for node in ("pre", "mid", "post"):
            stage.answer(node, b"1")
        nodes = {("node_called", "w", node, "answered"): 1 for node in ("pre", "mid", "post")}
        self.assertEqual(nodes | {("workflow_ended", "w", "answered"): 1}, stage.counts)
        self.assertNotIn(("request_arrived", "w__pre"), stage.stage.recorder.counts)


class FailureTests(SynchronousTestCase):
    """Nodes that fail are tried again; a run that fails says which node and why."""

    def assert_failed(self, stage: RunStage, error: object, node: str, attempts: int) -> NodeFailed:
        """Check what a client was told."""
        assert isinstance(error, NodeFailed)
        self.assertEqual((node, attempts), (error.node, error.attempts))
        self.assertEqual(0, stage.workflows.runs_of())
        return error

    def test_failing_node_is_called_once_more_than_it_is_tried_again(self) -> None:
        for retries in (0, 1, 3):
            stage = RunStage(CHAIN, mid=settings("mid", retry_attempts=retries))
            observer, _ = stage.ask()
            stage.answer("pre", b"p")
            for _ in range(retries + 1):
                self.assertEqual([], observer.errors)
                self.assertEqual([b"p"], stage.inputs("mid"))
                stage.answer("mid", FAILURE)
            self.assertEqual([], stage.jobs("mid"))
            (error,) = observer.errors
            self.assertIs(FAILURE, self.assert_failed(stage, error, "mid", retries + 1).cause)
            self.assertEqual(retries + 1, stage.counts["node_called", "w", "mid", "handler"])
            self.assertEqual(1, stage.counts["workflow_ended", "w", "handler"])

    def test_second_attempt_may_answer(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        stage.answer("pre", b"p")
        stage.answer("mid", FAILURE)
        stage.answer("mid", b"m")
        stage.answer("post", b"done")
        self.assertEqual([b"done"], observer.bodies)

    def test_failing_branch_withdraws_the_others(self) -> None:
        stage = RunStage(DIAMOND, left=settings("left", retry_attempts=0))
        observer, _ = stage.ask()
        stage.answer("pre", b"p")
        (right,) = stage.jobs("right")
        stage.answer("left", FAILURE)
        self.assert_failed(stage, observer.errors[0], "left", 1)
        self.assertTrue(right.finished)
        stage.answer("right", b"late")
        self.assertEqual(1, len(observer.errors))

    def test_dead_worker_is_a_failure_of_its_node(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        stage.answer("pre", b"p")
        stage.worker("mid").exit(CRASH)
        stage.clock.pump([0.5] * 10)
        self.assertEqual([b"p"], stage.inputs("mid"))
        stage.answer("mid", b"m")
        stage.answer("post", b"done")
        self.assertEqual([b"done"], observer.bodies)
        self.assertEqual(1, stage.counts["node_called", "w", "mid", "worker"])

    def test_each_attempt_has_its_time(self) -> None:
        stage = RunStage(CHAIN, mid=settings("mid", timeout=0.5))
        observer, _ = stage.ask()
        stage.answer("pre", b"p")
        stage.clock.advance(0.5)
        self.assertEqual([], observer.errors)
        self.assertEqual(2, stage.workflow.spec.nodes["mid"].settings.retry_attempts + 1)
        stage.clock.advance(0.4)
        self.assertEqual([], observer.errors)
        stage.clock.advance(0.1)
        error = self.assert_failed(stage, observer.errors[0], "mid", 2)
        self.assertIsInstance(error.cause, DeadlinePassed)

    def test_answer_of_an_attempt_that_was_given_up_is_nobodys(self) -> None:
        stage = RunStage(CHAIN, mid=settings("mid", timeout=0.5, batch_size=2))
        observer, _ = stage.ask()
        stage.answer("pre", b"p")
        stage.clock.advance(0.5)
        stage.answer("mid", b"late")
        self.assertEqual([], stage.jobs("post"))
        stage.answer("mid", b"in time")
        self.assertEqual([b"in time"], stage.inputs("post"))
        stage.answer("post", b"done")
        self.assertEqual([b"done"], observer.bodies)

    def test_time_of_the_request_ends_the_run_whatever_its_nodes_may_take(self) -> None:
        for answered, started in ((False, True), (True, True)):
            stage = RunStage(CHAIN)
            observer, _ = stage.ask(timeout=2.0)
            if answered:
                stage.answer("pre", b"p")
            (job,) = stage.jobs("mid" if answered else "pre")
            stage.clock.advance(2.0)
            self.assertEqual(repr(DeadlinePassed(2.0, started)), repr(observer.errors[0]))
            self.assertTrue(job.finished)
            self.assertEqual(1, stage.counts["workflow_ended", "w", "deadline"])
            self.assertEqual(0, stage.workflows.runs_of())

    def test_time_that_is_over_in_the_first_queue_is_told_so(self) -> None:
        stage = RunStage(CHAIN)
        for _ in range(3):
            stage.ask()
        stage.worker("pre").begins = False
        observer, _ = stage.ask(timeout=2.0)
        stage.clock.advance(2.0)
        self.assertEqual([repr(DeadlinePassed(2.0, False))], observer.reasons)

    def test_client_who_leaves_withdraws_all_jobs(self) -> None:
        stage = RunStage(DIAMOND)
        observer, job = stage.ask()
        stage.answer("pre", b"p")
        jobs = [*stage.jobs("left"), *stage.jobs("right")]
        job.withdraw()
        self.assertEqual([True, True], [each.finished for each in jobs])
        self.assertEqual(([], []), (observer.answers, observer.errors))
        self.assertEqual(1, stage.counts["workflow_ended", "w", "client"])
        self.assertEqual(0, stage.workflows.runs_of())


class RefusalTests(SynchronousTestCase):
    """A workflow that cannot take a request says so at once."""

    def test_full_queue_of_the_first_node(self) -> None:
        stage = RunStage(CHAIN, jobs=2)
        for _ in range(3):
            stage.ask()
        with self.assertRaises(QueueFull) as raised:
            for _ in range(20):
                stage.ask()
        self.assertEqual(("w__pre", "job_queue_size"), (raised.exception.model, raised.exception.limit_name))
        self.assertEqual(1, stage.counts["workflow_ended", "w", "job_queue_size"])

    def test_full_queue_of_another_node_is_told_as_it_is_and_not_tried_again(self) -> None:
        stage = RunStage(CHAIN, jobs=2)
        observer, _ = stage.ask()
        for _ in range(3):  # clients of the model itself
            stage.inference.predict("w__mid", None, Inputs(b"", b"", b""), CollectingObserver())
            stage.stage.turn()
        stage.answer("pre", b"p")
        self.assertEqual([QueueFull], [type(error) for error in observer.errors])
        self.assertEqual(0, stage.workflows.runs_of())
        self.assertEqual(1, stage.counts["node_called", "w", "mid", "job_queue_size"])

    def test_form_that_cannot_be_read_is_the_clients_fault(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        (job,) = stage.jobs("pre")
        job.settle(BadRequest("no form"))
        self.assertEqual([repr(BadRequest("no form"))], observer.reasons)

    def test_node_whose_model_is_gone(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        stage.models.remove("w__mid")
        stage.answer("pre", b"p")
        (error,) = observer.errors
        assert isinstance(error, NodeFailed)
        self.assertEqual("Model not found: w__mid", str(error.cause))
        stage.models.remove("w__pre")
        with self.assertRaises(NodeFailed):
            stage.ask()

    def test_node_without_workers(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        stage.models.get("w__mid").pool.scale(0, 0)
        stage.answer("pre", b"p")
        self.assertIsInstance(observer.errors[0], NoWorkers)

    def test_unknown_workflow(self) -> None:
        stage = RunStage(CHAIN)
        stage.registry.remove("w")
        with self.assertRaises(WorkflowNotFound):
            stage.ask()

    def test_runs_in_progress_can_be_awaited(self) -> None:
        stage = RunStage(CHAIN)
        other = Workflow("other", "", stage.workflow.spec)
        _, job = stage.ask()
        self.assertEqual({"w__pre", "w__mid", "w__post"}, stage.workflows.models_in_use())
        self.successResultOf(stage.workflows.when_idle(other))
        waiting = [stage.workflows.when_idle(), stage.workflows.when_idle(stage.workflow)]
        gone = stage.workflows.when_idle()
        gone.addErrback(lambda failure: None)
        gone.cancel()
        stage.workflows.close(NoWorkers("w", None, "the server is stopping"))
        with self.assertRaises(NoWorkers):
            stage.ask()
        for each in waiting:
            self.assertNoResult(each)
        for node in ("pre", "mid", "post"):
            stage.answer(node, b"1")
        for each in waiting:
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual([], list(stage.workflows.models_in_use()))
        self.assertTrue(job.finished)
