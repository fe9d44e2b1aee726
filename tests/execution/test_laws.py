"""Whatever order nodes answer, fail, die or are late in: each run ends once, and leaves nothing behind."""

from __future__ import annotations

from itertools import combinations

import hypothesis.strategies as st
from hypothesis import given, settings
from twisted.trial.unittest import SynchronousTestCase

from modelserver.jobs import Job
from modelserver.spec import WorkerFailure
from modelserver.testing.providers import CollectingObserver
from modelserver.workflows.spec import Condition, Items, Node, NodeSettings
from tests.harness.run_stage import FAILURE, RunStage

CRASH = WorkerFailure("signal", 0.0, signal="SIGKILL")
LARGE = 64 * 1024
BODIES = (b'{"go": true}', b'{"go": false}', b"[1, 2]", b"[]", b"text", b'"' + b"x" * LARGE + b'"')
NODES = "abcde"
NONE: tuple[Condition, ...] = ()
GO = (Condition(("go",), (True,)),)


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """Graphs of up to five nodes: each follows ``a`` or others before it."""
    count = draw(st.integers(2, len(NODES)))
    edges: dict[str, list[str]] = {name: [] for name in NODES[:count]}
    for place in range(1, count):
        pairs = combinations(NODES[:place], min(place, draw(st.integers(1, 2))))
        for parent in draw(st.sampled_from(list(pairs))):
            edges[parent].append(NODES[place])
    return edges


@st.composite
def stages(draw: st.DrawFn) -> RunStage:
    """Workflows with retries, short queues, conditions and items."""
    edges = draw(graphs())
    nodes = {}
    for name in edges:
        parents = [each for each, children in edges.items() if name in children]
        items, conditions = Items.WHOLE, NONE
        if len(parents) == 1:
            items = draw(st.sampled_from([Items.WHOLE, Items.WHOLE, Items.SPLIT, Items.JOIN]))
            conditions = draw(st.sampled_from([NONE, NONE, GO]))
        node_settings = NodeSettings(
            retry_attempts=draw(st.integers(0, 2)), timeout=draw(st.sampled_from([0.5, 1.5])), batch_size=2
        )
        nodes[name] = Node(name, node_settings, url="x.mar", items=items, conditions=conditions)
    jobs, is_strict = draw(st.sampled_from([3, 100])), draw(st.booleans())
    return RunStage(edges, has_slots=True, jobs=jobs, is_strict=is_strict, make_tracer=None, **nodes)


actions = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "answer", "answer", "fail", "die", "part", "wait", "leave"]),
        st.integers(0, 99),
        st.sampled_from(BODIES),
    ),
    max_size=40,
)


class Runs:
    """A workflow whose clients and workers do what they are told, and what came of it."""

    def __init__(self, stage: RunStage) -> None:
        self.stage = stage
        self.asked: list[tuple[CollectingObserver, Job]] = []
        self.left: list[CollectingObserver] = []

    def act(self, action: str, number: int, body: bytes) -> None:
        """Do one thing; ``number`` says to whom."""
        stage = self.stage
        nodes = list(stage.workflow.models)
        node = nodes[number % len(nodes)]
        worker = stage.worker(node)
        if action == "ask":
            self.ask(body, (0.0, 1.0, 9.0)[number % 3])
        elif action == "leave" and self.asked:
            observer, job = self.asked[number % len(self.asked)]
            self.left.append(observer)
            job.withdraw()
        elif action == "wait":
            stage.clock.advance((0.1, 0.5, 1.0)[number % 3])
        elif worker.batches and not worker.is_gone:
            jobs = worker.batches[0][1]
            if action == "answer":
                stage.answer(node, *[body] * len(jobs))
            elif action == "fail":
                stage.answer(node, *[FAILURE] * len(jobs))
            elif action == "part":
                worker.send_part(*[body[:9]] * len(jobs))
            elif action == "die":
                worker.exit(CRASH)

    def ask(self, body: bytes, timeout: float) -> None:
        """Send a request, which may be refused."""
        before = self.stage.slots.free if self.stage.slots is not None else 0
        large = self.stage.slot(body) if len(body) > LARGE else None
        try:
            self.asked.append(self.stage.ask(large or body, timeout=timeout))
        except Exception:
            if large is not None:
                large.free()  # as fronts do
            assert self.stage.slots is not None and self.stage.slots.free == before

    def finish(self) -> None:
        """Let the workers answer all that they get, until nobody waits."""
        for _ in range(60):
            self.stage.clock.pump([0.01] * 30)
            for node in self.stage.workflow.models:
                for _ in range(4):
                    worker = self.stage.worker(node)
                    if not worker.is_gone and worker.batches:
                        self.stage.answer(node, *[b"{}"] * len(worker.batches[0][1]))


class LawTests(SynchronousTestCase):
    """Every run ends exactly once; no job, no timer and no memory outlives it."""

    @settings(max_examples=150, deadline=None)
    @given(stages(), actions)
    def test_each_run_ends_once_and_leaves_nothing(
        self, stage: RunStage, todo: list[tuple[str, int, bytes]]
    ) -> None:
        assert stage.slots is not None
        free = stage.slots.free
        runs = Runs(stage)
        for each in todo:
            runs.act(*each)
            for observer, job in runs.asked:
                ends = len(observer.answers) + len(observer.errors)
                self.assertEqual(ends, int(job.finished) if observer not in runs.left or ends else 0)
        runs.finish()
        for observer, job in runs.asked:
            self.assertTrue(job.finished)
            if observer not in runs.left:
                self.assertEqual(1, len(observer.answers) + len(observer.errors), observer)
        self.assertEqual(0, stage.workflows.runs_of())
        for version in stage.models.all():
            self.assertEqual(0, version.queue.waiting)
        ended = [count for key, count in stage.counts.items() if key[0] == "workflow_ended"]
        self.assertGreaterEqual(sum(ended), len(runs.asked))
        self.assertEqual(free, stage.slots.free)
        stage.slots.memory.release()
        stage.slots.close()
