"""Overload of workflows: what no node could take is refused before any node works on it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import NoWorkers, QueueFull
from modelserver.workflows.spec import Condition, Items, Node
from tests.harness.run_stage import CHAIN, DIAMOND, FAILURE, RunStage


class AdmissionTests(SynchronousTestCase):
    """Workflows of whose nodes a few jobs may wait for each."""

    def full(self, stage: RunStage, node: str = "mid", jobs: int = 4) -> None:
        """Have one job at work in a node behind the first, and as many wait as may."""
        for number in range(jobs + 1):
            stage.ask(b"%d" % number)
            stage.answer("pre", b"p")
        self.assertEqual(1, len(stage.jobs(node)))

    def test_what_a_later_node_cannot_take_is_refused_before_the_first_one_works(self) -> None:
        stage = RunStage(CHAIN, jobs=4)
        self.full(stage)
        error = self.assertRaises(QueueFull, stage.ask)
        assert isinstance(error, QueueFull)
        self.assertEqual(("w__mid", 4, "job_queue_size"), (error.model, error.limit, error.limit_name))
        self.assertEqual([], stage.jobs("pre"))
        self.assertEqual(1, stage.counts["node_called", "w", "mid", "job_queue_size"])
        self.assertEqual(1, stage.counts["workflow_ended", "w", "job_queue_size"])

    def test_requests_that_nodes_before_it_have_are_counted(self) -> None:
        stage = RunStage(CHAIN, jobs=4)
        for _ in range(3):  # one is at work, two wait: half of the queue
            stage.ask()
            stage.answer("pre", b"p")
        stage.ask()
        stage.ask()
        self.assertRaises(QueueFull, stage.ask)
        self.assertEqual(1, len(stage.jobs("pre")))
        for _ in range(2):  # neither is refused late
            stage.answer("pre", b"p")
        self.assertEqual(4, stage.models.get("w__mid").queue.length)

    def test_there_is_room_again_once_the_node_goes_on(self) -> None:
        stage = RunStage(CHAIN, jobs=4)
        self.full(stage)
        stage.answer("mid", b"m")
        stage.ask()
        self.assertRaises(QueueFull, stage.ask)

    def test_a_queue_that_is_short_does_not_limit_those_before_it(self) -> None:
        stage = RunStage(CHAIN, jobs=4)
        for _ in range(5):
            stage.ask()
        error = self.assertRaises(QueueFull, stage.ask)
        assert isinstance(error, QueueFull)
        self.assertEqual("w__pre", error.model)

    def test_clients_who_left_take_no_room(self) -> None:
        stage = RunStage(CHAIN, jobs=4)
        left = []
        for _ in range(5):
            _, job = stage.ask()
            left.append(job)
            stage.answer("pre", b"p")
        for job in left[1:]:
            job.withdraw()
        stage.ask()

    def test_nodes_that_not_every_run_calls_do_not_count(self) -> None:
        when = Node("mid", url="mid.mar", conditions=(Condition(("a",), (1,)),))
        stage = RunStage({"pre": ["mid", "post"]}, jobs=2, mid=when)
        for _ in range(3):
            stage.ask()
            stage.answer("pre", b'{"a": 1}')
            stage.answer("post", b"1")
        observer, _ = stage.ask()
        stage.answer("pre", b'{"a": 2}')
        stage.answer("post", b"1")
        self.assertEqual(1, len(observer.answers))

    def test_nodes_that_are_called_for_each_item_do_not_count(self) -> None:
        split = Node("mid", url="mid.mar", items=Items.SPLIT)
        stage = RunStage({"pre": ["mid"]}, jobs=2, mid=split)
        stage.ask()
        stage.answer("pre", b"[1, 2, 3]")
        observer, _ = stage.ask()
        stage.answer("pre", b"[]")
        self.assertEqual(1, len(observer.answers))

    def test_without_workers_of_a_later_node_nothing_begins(self) -> None:
        stage = RunStage(DIAMOND)
        stage.models.get("w__post").pool.scale(0, 0)
        error = self.assertRaises(NoWorkers, stage.ask)
        assert isinstance(error, NoWorkers)
        self.assertEqual("w__post", error.model)
        self.assertEqual([], stage.jobs("pre"))
        self.assertEqual(1, stage.counts["workflow_ended", "w", "no_worker"])

    def test_a_later_node_that_a_request_wakes_may_have_no_worker(self) -> None:
        stage = RunStage(CHAIN)
        pool = stage.models.get("w__mid").pool
        pool.scale(0, 0)
        pool.waking.open(lambda: pool.scale(1, 1), 10.0)
        observer, _ = stage.ask()
        for node in ("pre", "mid", "post"):
            stage.answer(node, b"1")
        self.assertEqual(1, len(observer.answers))

    def test_nothing_is_counted_of_runs_that_are_over(self) -> None:
        stage = RunStage(DIAMOND)
        plan = stage.workflows._plan(stage.workflow)  # there is no other way to it
        _, left = stage.ask()
        self.assertEqual([0, 1, 1, 1], plan.coming)
        left.withdraw()
        self.assertEqual([0, 0, 0, 0], plan.coming)
        stage.answer("pre", b"p")  # the worker goes on
        stage.ask()
        stage.answer("pre", b"p")
        self.assertEqual([0, 0, 0, 1], plan.coming)
        stage.answer("left", FAILURE)
        stage.answer("left", FAILURE)
        self.assertEqual([0, 0, 0, 0], plan.coming)
        stage.answer("right", b"r")  # the worker goes on
        stage.ask()
        for node in ("pre", "left", "right", "post"):
            stage.answer(node, b"a")
        self.assertEqual([0, 0, 0, 0], plan.coming)
