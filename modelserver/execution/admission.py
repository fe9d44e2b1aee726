"""Admission control of workflows: no node shall refuse a request that other nodes have worked for."""

from __future__ import annotations

from typing import Protocol

from attrs import evolve

from modelserver.core.version import ModelVersion
from modelserver.errors import ModelNotFound, NoWorkers, QueueFull, VersionNotFound
from modelserver.execution.plan import Plan, PlannedNode


class FindVersion(Protocol):
    """Finds what a node calls."""

    def __call__(self, name: str, version: str | None) -> ModelVersion:
        """
        Return a version, the default one unless it is named.

        :raises ModelNotFound: no model has this name.
        :raises VersionNotFound: the model has no such version.
        """


def refusal_of(plan: Plan, find: FindVersion) -> tuple[PlannedNode, NoWorkers | QueueFull] | None:
    """
    Return the node behind the first that could not take one more request, and why; None: all can.

    A node is the bottleneck where half of its queue is taken. As many more requests then may come to it as it
    has room for, those counted that the nodes before it still have: else they would be served in vain, and
    refused late. The first node refuses by itself.
    """
    for node in plan.sure:
        try:
            found = find(node.model, node.version)
        except (ModelNotFound, VersionNotFound):
            continue  # the run says so when it comes there
        queue, spec = found.queue, found.spec
        if not found.pool.healthy and _is_without_workers(found):
            refusal = found.pool.refusal()
            if isinstance(refusal, NoWorkers):
                return node, evolve(refusal, version=node.version)
        if 2 * queue.length >= spec.queue.jobs and not queue.has_room_for(plan.coming[node.number] + 1):
            return node, QueueFull(
                *(spec.name, node.version, spec.queue.jobs), retry_after=found.pool.seconds_to_drain()
            )
    return None


def _is_without_workers(version: ModelVersion) -> bool:
    """Return whether none of its workers comes back, and a request would bring none."""
    pool = version.pool
    return version.queue.closed is None and not (pool.waking.is_open and not pool.workers)
