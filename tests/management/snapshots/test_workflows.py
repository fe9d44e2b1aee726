"""Workflows in snapshots: what is written is read, and nodes are not written as models."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from modelserver.management.snapshots.format import Snapshot, parse_snapshot, render_snapshot, take_snapshot
from modelserver.management.snapshots.values import SnapshotInvalid
from modelserver.management.snapshots.workflows import NodeWorkers, SnapshotWorkflow
from modelserver.management.workflows.requests import RegisteredWorkflow, WorkflowRequest
from modelserver.spec import ScalingDescription, VersionDescription, VersionSpec
from modelserver.version_settings.values import Autoscaling, WorkerRange
from modelserver.workflows.graph import make_graph
from modelserver.workflows.spec import Node, NodeModel, Workflow, WorkflowSpec

NAMES = st.text(alphabet="abcdefgh0123456789_-.", min_size=1)
SCALED = st.none() | st.fixed_dictionaries(
    {"autoscale": st.booleans(), "idle_timeout": st.integers(1, 9999).map(float)}
)
WORKFLOWS = st.builds(
    SnapshotWorkflow,
    archive=NAMES,
    is_default=st.booleans(),
    url=st.sampled_from(("", "https://h/x/w.war")),
    timeouts=st.dictionaries(
        st.sampled_from(("response_timeout", "startup_timeout")), st.integers(1, 9999).map(float)
    ),
    workers=st.dictionaries(NAMES, st.builds(NodeWorkers, st.integers(0, 3), st.integers(3, 9), SCALED)),
)
VERSIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, WORKFLOWS, min_size=1))


class SnapshotWorkflowTests(SynchronousTestCase):
    """The key ``workflows`` of a snapshot."""

    @given(VERSIONS)
    def test_what_is_written_is_read(self, workflows: dict[str, dict[str, SnapshotWorkflow]]) -> None:
        snapshot = Snapshot("name", 5.0, {}, workflows)
        self.assertEqual(snapshot, parse_snapshot(render_snapshot(snapshot)))
        self.assertEqual(not workflows, snapshot.is_empty)

    def test_a_snapshot_of_torchserve_knows_no_workflows(self) -> None:
        self.assertEqual(parse_snapshot('{"name": "n", "modelCount": 0, "models": {}}').workflows, {})

    def test_wrong_types_are_refused(self) -> None:
        wrong: tuple[object, ...] = (
            3,
            {"w": 3},
            {"w": {"1.0": 3}},
            {"w": {"1.0": {}}},
            {"w": {"1.0": {"warName": 3}}},
        )
        for values in wrong:
            with self.subTest(values), self.assertRaises(SnapshotInvalid):
                parse_snapshot(json.dumps({"models": {}, "workflows": values}))

    def test_nodes_are_written_with_their_workflow(self) -> None:
        spec = WorkflowSpec(
            make_graph({"a": ["b"]}),
            {"a": Node("a", url="a.mar"), "b": Node("b", model=NodeModel("m"))},
            version="2",
        )
        workflow = Workflow("w", "https://h/w.war", spec, {"a": NodeModel("w__a", "2"), "b": NodeModel("m")})
        request = WorkflowRequest(workflow.url, settings={"response_timeout": 7.0})
        node = VersionSpec("w__a", "2", "a.mar", Path("/"), "h", workers=WorkerRange(1, 3), workflow="w")
        taken = take_snapshot(
            "name", 5.0, [VersionDescription(node, True, ())], [RegisteredWorkflow(workflow, request, True)]
        )
        wanted = SnapshotWorkflow(
            "w.war", True, "https://h/w.war", {"response_timeout": 7.0}, {"a": NodeWorkers(1, 3)}
        )
        self.assertEqual(Snapshot("name", 5.0, {}, {"w": {"2": wanted}}), taken)
        again = wanted.request("w")
        self.assertTrue(again.is_kept(again.url))
        self.assertEqual(
            ("https://h/w.war", "w", {"response_timeout": 7.0}, {"a": (1, 3)}),
            (again.url, again.name, again.settings, again.workers),
        )

    def test_node_whose_workers_come_and_go_comes_back_with_that(self) -> None:
        spec = WorkflowSpec(make_graph({"a": []}), {"a": Node("a", url="a.mar")}, version="2")
        workflow = Workflow("w", "w.war", spec, {"a": NodeModel("w__a", "2")})
        settings = Autoscaling(True, 0.05, 60.0)
        node = VersionSpec(
            "w__a",
            "2",
            "a.mar",
            Path("/"),
            "h",
            workers=WorkerRange(0, 3),
            autoscaling=settings,
            workflow="w",
        )
        described = VersionDescription(node, True, (), scaling=ScalingDescription(settings, 0, None))
        registered = RegisteredWorkflow(workflow, WorkflowRequest(workflow.url), True)
        taken = take_snapshot("name", 5.0, [described], [registered])
        read = parse_snapshot(render_snapshot(taken))
        assert read.workflows is not None
        again = read.workflows["w"]["2"].request("w")
        self.assertEqual({"a": (0, 3)}, again.workers)
        wanted = {"autoscale": True, "target_queue_time": 0.05, "idle_timeout": 60.0}
        self.assertEqual(wanted, {name: again.scaling["a"][name] for name in wanted})
