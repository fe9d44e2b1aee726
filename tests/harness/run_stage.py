"""Workflows over workers in memory: one version and one worker for each node, told by the test what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import evolve

from modelserver.core.queues.deadlines import Deadlines
from modelserver.core.registry import Registry
from modelserver.errors import PredictionFailed
from modelserver.execution.payloads import PayloadStore
from modelserver.execution.run import RunServices
from modelserver.inference.predict import Inference
from modelserver.inference.workflows import WorkflowInference
from modelserver.jobs import NOWHERE, Answer, Inputs, Job, SharedSlot
from modelserver.protocol.shared_memory import SharedMemoryPool
from modelserver.testing.providers import CollectingObserver, MemoryWorker, Stage, make_spec
from modelserver.traces import Tracer
from modelserver.workflows.graph import make_graph
from modelserver.workflows.registry import WorkflowRegistry
from modelserver.workflows.spec import Node, NodeModel, NodeSettings, Workflow, WorkflowSpec

CHAIN = {"pre": ["mid"], "mid": ["post"]}
FORK = {"pre": ["left", "right"]}
DIAMOND = {"pre": ["left", "right"], "left": ["post"], "right": ["post"]}
NAME = "w"
FAILURE = PredictionFailed(503, "Prediction failed", "ValueError", "no")
LARGEST = 128 * 1024
"""Bytes of a slot of shared memory."""


def make_workflow(edges: Mapping[str, Sequence[str]], **nodes: Node) -> Workflow:
    """
    Return a workflow whose node ``n`` calls the model ``w__n``.

    :param nodes: those that are not as all others are.
    """
    graph = make_graph(edges)
    every = {name: nodes.get(name, Node(name, url=f"{name}.mar")) for name in graph.order}
    models = {name: NodeModel(f"{NAME}__{name}") for name in graph.order}
    return Workflow(NAME, "w.war", WorkflowSpec(graph, every), models)


class RunStage:
    """
    A workflow that can be asked, and its workers.

    :param jobs: how many may wait for each node.
    :param make_tracer: what traces requests; None: nothing does.
    """

    def __init__(
        self,
        edges: Mapping[str, Sequence[str]],
        *,
        is_strict: bool = False,
        jobs: int = 100,
        has_slots: bool = False,
        make_tracer: Callable[[Stage], Tracer] | None = None,
        **nodes: Node,
    ) -> None:
        self.stage = Stage(loads=True)
        self.clock = self.stage.clock
        tracer = None if make_tracer is None else make_tracer(self.stage)
        self.stage.providers = evolve(self.stage.providers, tracer=tracer)
        self.models = Registry()
        self.workflow = make_workflow(edges, **nodes)
        self.slots = SharedMemoryPool.open(LARGEST) if has_slots else None
        for name, model in self.workflow.models.items():
            version = self.stage.version(
                make_spec(
                    model.name,
                    batch_size=self.workflow.spec.nodes[name].settings.batch_size,
                    max_batch_delay=0.0,
                    job_queue_size=jobs,
                    retry_on_worker_death=0,
                )
            )
            self.models.add(version)
            version.pool.scale(1, 1)
        self.stage.turn()
        self.inference = Inference(
            self.models, Deadlines(self.clock), self.clock, self.stage.recorder, bytes, tracer=tracer
        )
        self.registry = WorkflowRegistry()
        self.registry.add(self.workflow)
        self.services = RunServices(
            self.inference.enqueue, PayloadStore(self.slots), self.clock, self.stage.recorder, is_strict
        )
        self.workflows = WorkflowInference(self.registry, self.inference, self.services)

    def ask(
        self, body: bytes | SharedSlot = b"x", headers: bytes = b"", timeout: float = 0.0, flags: int = 0
    ) -> tuple[CollectingObserver, Job]:
        """Send a request; return who waits for it, and its job."""
        observer = CollectingObserver()
        inputs = Inputs(headers, b"", body, flags)
        job = self.workflows.predict(NAME, None, inputs, observer, timeout)
        self.stage.turn()
        return observer, job

    def worker(self, node: str) -> MemoryWorker:
        """Return the worker of a node."""
        name = self.workflow.models[node].name
        workers = [each for each in self.stage.backend.workers if each.spec.version.name == name]
        return workers[-1]

    def jobs(self, node: str) -> list[Job]:
        """Return the jobs that the worker of a node has and that somebody waits for."""
        return [job for _, jobs in self.worker(node).batches for job in jobs if not job.finished]

    def inputs(self, node: str) -> list[bytes]:
        """Return the bodies of these jobs."""
        return [self.body_of(job) for job in self.jobs(node)]

    def body_of(self, job: Job) -> bytes:
        """Return the body of a job, wherever it lies."""
        body = job.request.body
        if isinstance(body, SharedSlot):
            assert self.slots is not None
            return bytes(self.slots.view(body))
        return bytes(body)

    def slot(self, data: bytes) -> SharedSlot:
        """Return a body in shared memory."""
        assert self.slots is not None
        slot = self.slots.take(len(data))
        assert slot is not None
        self.slots.view(slot)[:] = data
        return slot

    def answer(self, node: str, *answers: bytes | Answer | PredictionFailed) -> None:
        """Have the worker of a node answer its oldest batch, where it is told to."""
        worker = self.worker(node)
        items = [
            self._placed(job, Answer(200, b"", answer) if isinstance(answer, bytes) else answer)
            for job, answer in zip(worker.batches[0][1], answers, strict=True)
        ]
        worker.answer(*items)
        self.stage.turn()

    def _placed(self, job: Job, answer: Answer | PredictionFailed) -> Answer | PredictionFailed:
        """Lay a large answer where a worker would."""
        body = job.request.body
        if not isinstance(answer, Answer) or not isinstance(body, SharedSlot) or len(answer.body) < 1 << 16:
            return answer
        place = body.offset if body.answer_at is None else body.answer_at
        if place == NOWHERE:
            return answer
        assert self.slots is not None
        view = self.slots.memory[place : place + len(answer.body)]
        view[:] = answer.body
        return answer._replace(body=view)

    @property
    def counts(self) -> dict[tuple[str, ...], int]:
        """What was counted of the workflow."""
        counts = self.stage.recorder.counts
        return {key: count for key, count in counts.items() if key[0] in ("node_called", "workflow_ended")}


def settings(name: str, **more: float) -> Node:
    """Return a node with such settings."""
    return Node(name, NodeSettings(**more), url=f"{name}.mar")  # type: ignore[arg-type]  # the caller knows
