"""What TorchServe's workflows do not know: conditions, items, streams, versions."""

from __future__ import annotations

from attrs import astuple
from twisted.trial.unittest import SynchronousTestCase

from modelserver.errors import QueueFull
from modelserver.execution.node_run import LONGEST_COLLECTED
from modelserver.inference.workflows import AnyInference
from modelserver.jobs import Answer, Inputs
from modelserver.testing.providers import CollectingObserver
from modelserver.workflows.errors import NodeFailed, WorkflowNotFound, WorkflowVersionNotFound
from modelserver.workflows.spec import Condition, Items, Node, NodeSettings, Workflow, WorkflowSpec
from tests.harness.run_stage import CHAIN, FAILURE, FORK, RunStage

JSON = b"OK\r\ncontent-type: application/json\r\n"


def when(name: str, *path: str, values: tuple[object, ...] = (True,)) -> Node:
    """A node with one condition."""
    return Node(name, url="x.mar", conditions=(Condition(path, values),))  # type: ignore[arg-type]


def items(name: str, how: Items, batch_size: int = 8, retries: int = 1) -> Node:
    """A node that takes items."""
    node_settings = NodeSettings(batch_size=batch_size, retry_attempts=retries)
    return Node(name, node_settings, url="x.mar", items=how)


class ConditionTests(SynchronousTestCase):
    """``when:`` nodes run only if the parent's JSON has a value."""

    def test_node_is_called_only_if_the_value_is_there(self) -> None:
        for answer, is_called in (
            (b'{"found": {"cats": 2}}', True),
            (b'{"found": {"cats": 1}}', False),
            (b'{"found": {"cats": "2"}}', False),
            (b'{"found": {"cats": true}}', False),
            (b'{"found": [2]}', False),
            (b"2", False),
            (b"no JSON", False),
        ):
            stage = RunStage({"pre": ["mid"]}, mid=when("mid", "found", "cats", values=(2, "many")))
            observer, _ = stage.ask()
            stage.answer("pre", answer)
            self.assertEqual(is_called, bool(stage.jobs("mid")), answer)
            if not is_called:
                self.assertEqual([answer], observer.bodies)
                self.assertNotIn(("node_called", "w", "mid", "answered"), stage.counts)

    def test_nodes_behind_one_that_is_passed_over_are_passed_over_too(self) -> None:
        stage = RunStage(CHAIN, mid=when("mid", "go"))
        observer, _ = stage.ask()
        stage.answer("pre", b'{"go": false}')
        self.assertEqual([Answer(200, JSON, b'{"go": false}')], observer.answers)
        self.assertEqual(0, stage.workflows.runs_of())

    def test_branches_that_are_passed_over_are_no_fields(self) -> None:
        stage = RunStage(
            {"pre": ["left", "right"], "left": ["post"], "right": ["post"]}, left=when("left", "go")
        )
        observer, _ = stage.ask()
        stage.answer("pre", b"{}")
        stage.answer("right", b"r")
        (job,) = stage.jobs("post")
        self.assertEqual((b"r", b'{"fields": [["right", 1]]}'), (job.request.body, job.request.extra))
        stage.answer("post", b"done")
        self.assertEqual([b"done"], observer.bodies)

    def test_condition_of_a_node_with_several_parents_names_one(self) -> None:
        for answer, is_called in ((b'{"go": true}', True), (b'{"go": 1}', False)):
            stage = RunStage({"pre": ["mid", "post"], "mid": ["post"]}, post=when("post", "mid", "go"))
            stage.ask()
            stage.answer("pre", b'{"go": true}')
            stage.answer("mid", answer)
            self.assertEqual(is_called, bool(stage.jobs("post")))

    def test_leaves_that_are_passed_over_are_left_out_of_the_object(self) -> None:
        stage = RunStage(FORK, left=when("left", "go"))
        observer, _ = stage.ask()
        stage.answer("pre", b"{}")
        stage.answer("right", b"[1]")
        self.assertEqual([b'{\n  "right": [1]\n}\n'], observer.bodies)

    def test_long_chain_that_is_passed_over_needs_no_deep_stack(self) -> None:
        names = [f"n{number}" for number in range(250)]
        edges = {name: [names[place + 1]] for place, name in enumerate(names[:-1])}
        stage = RunStage(edges, n1=when("n1", "go"))
        observer, _ = stage.ask()
        stage.answer("n0", b"{}")
        self.assertEqual([b"{}"], observer.bodies)


class ItemTests(SynchronousTestCase):
    """``items:`` the items of a list are separate jobs of the next node."""

    def test_items_are_jobs_of_one_batch_and_joined_in_order(self) -> None:
        stage = RunStage(CHAIN, mid=items("mid", Items.SPLIT), post=items("post", Items.JOIN))
        observer, _ = stage.ask()
        stage.answer("pre", b'["a", {"b": 1}, 2]')
        ((_, jobs),) = stage.worker("mid").batches
        self.assertEqual([b'"a"', b'{"b": 1}', b"2"], [job.request.body for job in jobs])
        stage.answer("mid", b"1", b"[2]", b'"3"')
        self.assertEqual([b'[1, [2], "3"]'], stage.inputs("post"))
        stage.answer("post", b"done")
        self.assertEqual([b"done"], observer.bodies)

    def test_each_item_has_its_own_attempts(self) -> None:
        stage = RunStage(CHAIN, mid=items("mid", Items.SPLIT), post=items("post", Items.JOIN))
        stage.ask()
        stage.answer("pre", b"[1, 2, 3]")
        stage.answer("mid", b'"one"', FAILURE, b'"three"')
        self.assertEqual([b"2"], stage.inputs("mid"))
        stage.answer("mid", b'"two"')
        self.assertEqual([b'["one", "two", "three"]'], stage.inputs("post"))

    def test_item_that_fails_too_often_withdraws_the_others(self) -> None:
        mid = items("mid", Items.SPLIT, batch_size=1, retries=0)
        stage = RunStage(CHAIN, mid=mid, post=items("post", Items.JOIN))
        observer, _ = stage.ask()
        stage.answer("pre", b"[1, 2, 3]")
        others = stage.jobs("mid")[1:]
        stage.answer("mid", FAILURE)
        self.assertIsInstance(observer.errors[0], NodeFailed)
        self.assertTrue(all(job.finished for job in others))
        self.assertEqual(0, stage.workflows.runs_of())

    def test_split_nodes_follow_each_other(self) -> None:
        stage = RunStage(CHAIN, mid=items("mid", Items.SPLIT), post=items("post", Items.SPLIT))
        observer, _ = stage.ask()
        stage.answer("pre", b"[1, 2]")
        stage.answer("mid", b"one", b"two")
        self.assertEqual([b"one", b"two"], stage.inputs("post"))
        stage.answer("post", b"1", b"2")
        self.assertEqual([Answer(200, JSON, b"[1, 2]")], observer.answers)

    def test_empty_list_is_no_call(self) -> None:
        stage = RunStage(CHAIN, mid=items("mid", Items.SPLIT), post=items("post", Items.JOIN))
        stage.ask()
        stage.answer("pre", b"[]")
        self.assertEqual([b"[]"], stage.inputs("post"))

    def test_answer_that_is_no_list_fails_its_node(self) -> None:
        for answer in (b"{}", b"text"):
            stage = RunStage(CHAIN, mid=items("mid", Items.SPLIT), post=items("post", Items.JOIN))
            observer, _ = stage.ask()
            stage.answer("pre", answer)
            (error,) = observer.errors
            assert isinstance(error, NodeFailed)
            self.assertEqual("pre", error.node)

    def test_item_that_is_no_json_cannot_be_joined(self) -> None:
        stage = RunStage(CHAIN, mid=items("mid", Items.SPLIT), post=items("post", Items.JOIN))
        observer, _ = stage.ask()
        stage.answer("pre", b"[1]")
        stage.answer("mid", b"text")
        (error,) = observer.errors
        assert isinstance(error, NodeFailed)
        self.assertEqual("mid", error.node)

    def test_more_items_than_may_wait_are_refused_and_none_is_left(self) -> None:
        stage = RunStage(CHAIN, jobs=3, mid=items("mid", Items.SPLIT), post=items("post", Items.JOIN))
        observer, _ = stage.ask()
        stage.answer("pre", b"[1, 2, 3, 4, 5, 6]")
        self.assertIsInstance(observer.errors[0], QueueFull)
        self.assertEqual(0, stage.models.get("w__mid").queue.waiting)


class StreamTests(SynchronousTestCase):
    """Handlers that stream."""

    def test_last_node_streams_to_the_client(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        stage.answer("pre", b"p")
        stage.answer("mid", b"m")
        stage.worker("post").send_part(b"one")
        stage.worker("post").send_part(b"two")
        self.assertEqual([Answer(200, JSON, b"one"), Answer(200, b"", b"two")], observer.parts)
        stage.answer("post", b"three")
        self.assertEqual([b"three"], observer.bodies)

    def test_client_who_is_slow_holds_the_handler(self) -> None:
        stage = RunStage(CHAIN)
        observer, job = stage.ask()
        stage.answer("pre", b"p")
        stage.answer("mid", b"m")
        observer.can_take = False
        stage.worker("post").send_part(b"one")
        self.assertEqual([True], [is_held for _, is_held in stage.worker("post").holds])
        job.resume()
        self.assertEqual([True, False], [is_held for _, is_held in stage.worker("post").holds])

    def test_stream_that_has_begun_is_not_begun_again(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        stage.answer("pre", b"p")
        stage.answer("mid", b"m")
        stage.worker("post").send_part(b"one")
        stage.answer("post", FAILURE)
        self.assertEqual((1, []), (len(observer.errors), stage.jobs("post")))

    def test_parts_of_other_nodes_are_collected(self) -> None:
        for is_strict, node in ((False, "mid"), (True, "post")):
            stage = RunStage(CHAIN, is_strict=is_strict)
            observer, _ = stage.ask()
            stage.answer("pre", b"p")
            if node == "post":
                stage.answer("mid", b"m")
            stage.worker(node).send_part(b"one ")
            stage.answer(node, FAILURE)
            stage.worker(node).send_part(b"two ")
            stage.answer(node, b"three")
            self.assertEqual([], observer.parts)
            self.assertEqual([b"two three"], stage.inputs("post") if node == "mid" else observer.bodies)

    def test_endless_stream_is_not_collected_for_ever(self) -> None:
        stage = RunStage(CHAIN)
        observer, _ = stage.ask()
        part = bytes(1 << 20)
        for _ in range(LONGEST_COLLECTED >> 20):
            stage.worker("pre").send_part(part)
            self.assertEqual([], observer.errors)
        stage.worker("pre").send_part(b"x")
        self.assertEqual(["Error executing pre"], [str(error) for error in observer.errors])
        self.assertEqual([], stage.jobs("pre"))


class NameTests(SynchronousTestCase):
    """Versions of workflows, and names that may be a model's."""

    def test_version_that_is_named(self) -> None:
        stage = RunStage({"pre": ["mid"]})
        stage.registry.remove("w")
        spec = stage.workflow.spec
        for version in ("1", "2"):
            versioned = WorkflowSpec(spec.graph, spec.nodes, version=version)
            stage.registry.add(Workflow("w", "", versioned, stage.workflow.models))
        named = stage.workflows.version_named
        self.assertEqual(("2", None, None), (named("w", "2"), named("w", "3"), named("other", "2")))
        stage.workflows.predict("w", "2", Inputs(b"", b"", b"x"), CollectingObserver())
        with self.assertRaises(WorkflowVersionNotFound):
            stage.workflows.predict("w", "3", Inputs(b"", b"", b"x"), CollectingObserver())

    def test_workflow_that_says_no_version_has_none_in_paths(self) -> None:
        stage = RunStage(CHAIN)
        self.assertIsNone(stage.workflows.version_named("w", "1.0"))

    def test_workflow_is_ready_when_all_its_nodes_are(self) -> None:
        stage = RunStage(CHAIN)
        self.assertTrue(stage.workflows.is_ready("w"))
        self.assertEqual(("w", ("1.0",), "workflow"), astuple(stage.workflows.metadata("w"))[:3])
        stage.models.get("w__mid").pool.scale(0, 0)
        self.assertFalse(stage.workflows.is_ready("w"))
        stage.models.remove("w__mid")
        self.assertFalse(stage.workflows.is_ready("w"))
        for ask in (stage.workflows.is_ready, stage.workflows.metadata):
            with self.assertRaises(WorkflowNotFound):
                ask("x")

    def test_model_goes_before_a_workflow_of_its_name(self) -> None:
        stage = RunStage({"pre": ["mid"]})
        either = AnyInference(stage.inference, stage.workflows)
        job = either.predict("w__mid", None, Inputs(b"", b"", b"direct"), CollectingObserver())
        either.predict("w", None, Inputs(b"", b"", b"run"), CollectingObserver())
        stage.stage.turn()
        self.assertEqual(([b"direct"], [b"run"]), (stage.inputs("mid"), stage.inputs("pre")))
        job.withdraw()
        self.assertEqual([], stage.jobs("mid"))
