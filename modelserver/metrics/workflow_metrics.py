"""What is counted of workflows: requests to each, and the calls of each of its nodes."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field

from modelserver.language.attributes import define
from modelserver.metrics.declarations import COUNTER, HISTOGRAM, Declaration
from modelserver.metrics.exposition import Exposed
from modelserver.metrics.series import Counter, Histogram
from modelserver.metrics.tallies import SECONDS

_WORKFLOW, _NODE = ("workflow",), ("workflow", "node")
_HELP = {
    "modelserver_workflow_requests_total": "Requests to a workflow, by how they ended.",
    "modelserver_workflow_request_seconds": "Seconds from a request's arrival to the end of its run.",
    "modelserver_workflow_node_calls_total": "Attempts at a node of a workflow, by how they ended.",
    "modelserver_workflow_node_seconds": "Seconds that an attempt at a node took, its wait included.",
    "modelserver_workflow_node_queue_seconds": "Seconds that an attempt at a node waited for a worker.",
}


def _counter(name: str, *dimensions: str) -> Counter:
    return Counter(Declaration(f"modelserver_workflow_{name}_total", COUNTER, "", dimensions))


def _histogram(name: str, *dimensions: str) -> Histogram:
    return Histogram(Declaration(f"modelserver_workflow_{name}", HISTOGRAM, "", dimensions), SECONDS)


@define(eq=False)
class WorkflowMetrics:
    """The families ``modelserver_workflow_...``."""

    _requests: Counter = field(factory=lambda: _counter("requests", *_WORKFLOW, "outcome"), init=False)
    _seconds: Histogram = field(factory=lambda: _histogram("request_seconds", *_WORKFLOW), init=False)
    _calls: Counter = field(factory=lambda: _counter("node_calls", *_NODE, "outcome"), init=False)
    _node_seconds: Histogram = field(factory=lambda: _histogram("node_seconds", *_NODE), init=False)
    _queued: Histogram = field(factory=lambda: _histogram("node_queue_seconds", *_NODE), init=False)
    _gone: set[str] = field(factory=set, init=False)
    _read: set[str] = field(factory=set, init=False)
    """Workflows that are gone, and of those the ones whose last numbers were read."""

    def node_called(
        self, workflow: str, node: str, outcome: str, seconds: float | None, queued: float | None
    ) -> None:
        """Count an attempt at a node; ``seconds`` is None where it was refused."""
        self._calls.update((workflow, node, outcome), 1)
        if seconds is not None:
            self._node_seconds.update((workflow, node), seconds)
        if queued is not None:
            self._queued.update((workflow, node), queued)

    def ended(self, workflow: str, outcome: str, seconds: float) -> None:
        """Count a request."""
        if self._gone or self._read:  # it may be there again
            self._gone.discard(workflow)
            self._read.discard(workflow)
        self._requests.update((workflow, outcome), 1)
        self._seconds.update((workflow,), seconds)

    def gone(self, workflow: str) -> None:
        """Forget a workflow once its last numbers have been read."""
        self._gone.add(workflow)

    def exposed(self) -> Iterator[Exposed]:
        """Return every family as it is now."""
        families = self._requests, self._seconds, self._calls, self._node_seconds, self._queued
        read, self._read, self._gone = self._read, self._gone, set()
        for family in families if read else ():
            family.forget(lambda labels: labels[0] in read)
        for family in families:
            yield Exposed(family, _HELP[family.declaration.name])
