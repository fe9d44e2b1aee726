"""The runs of a workflow that are in progress, as its unregistration sees them."""

from __future__ import annotations

from typing import Protocol

from twisted.internet.defer import Deferred

from modelserver.workflows.spec import Workflow


class WorkflowRuns(Protocol):
    """Who executes workflows. A run keeps the workflow that it began with, also when that is unregistered."""

    def when_idle(self, workflow: Workflow) -> Deferred[None]:
        """Tell when no run of a workflow is in progress; cancelling stops waiting."""
