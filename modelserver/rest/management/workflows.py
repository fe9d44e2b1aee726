"""The management API of workflows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.web.server import Request

from modelserver.language.attributes import frozen
from modelserver.management.parameters import page_request
from modelserver.management.workflows.service import WorkflowManagement
from modelserver.rest.binding import Operation
from modelserver.rest.dialects import workflows as words
from modelserver.rest.management import workflow_parameters as wanted
from modelserver.rest.management.calls import Calls, uninterrupted
from modelserver.workflows.spec import Workflow


@frozen(eq=False)
class WorkflowApi:
    """Answers the rows of the table that are about workflows."""

    workflows: WorkflowManagement
    calls: Calls

    def operations(self) -> Mapping[str, Operation]:
        """Return the functions that answer, by operationId."""
        return {
            "listWorkflows": self.list,
            "registerWorkflow": self.register,
            "describeWorkflow": self.describe,
            "unregisterWorkflow": self.unregister,
            "describeAllWorkflowVersions": self.describe_all,
            "version_describeWorkflow": self.describe,
            "version_unregisterWorkflow": self.unregister,
            "setDefaultWorkflow": self.set_default,
        }

    async def register(self, request: Request) -> bytes:
        """Register a workflow."""
        fields = self.calls.fields_with_body(request, wanted.REGISTER_WORKFLOW)
        workflow = await uninterrupted(self.workflows.register(wanted.workflow_request(fields)))
        return self.calls.answer(request, words.workflow_registered(workflow.name), fields)

    async def unregister(
        self, request: Request, workflow_name: str, workflow_version: str | None = None
    ) -> bytes:
        """Unregister a workflow."""
        version = self._meant(workflow_name, workflow_version)
        await uninterrupted(self.workflows.unregister(workflow_name, version))
        return self.calls.answer(request, words.workflow_unregistered(workflow_name))

    async def set_default(self, request: Request, workflow_name: str, workflow_version: str) -> bytes:
        """Choose the default version."""
        await self.workflows.set_default(workflow_name, workflow_version)
        return self.calls.answer(request, words.workflow_default_set(workflow_name, workflow_version))

    def describe(self, request: Request, workflow_name: str, workflow_version: str | None = None) -> bytes:
        """Describe one version of a workflow."""
        version = self._meant(workflow_name, workflow_version)
        return self._described(request, workflow_name, [self.workflows.registry.get(workflow_name, version)])

    def describe_all(self, request: Request, workflow_name: str) -> bytes:
        """Describe every version of a workflow."""
        return self._described(request, workflow_name, self.workflows.registry.versions(workflow_name))

    def list(self, request: Request) -> bytes:
        """List the workflows."""
        fields = self.calls.fields(request, wanted.LIST_WORKFLOWS)
        page = page_request(fields)
        reply = words.workflows_listed(*self.workflows.list(page.limit, page.offset))
        return self.calls.answer(request, reply, fields)

    def _described(self, request: Request, name: str, workflows: Iterable[Workflow]) -> bytes:
        default = self.workflows.registry.get(name)
        return self.calls.answer(request, words.workflows_described(list(workflows), default))

    def _meant(self, name: str, version: str | None) -> str | None:
        """Return the version that a path means; TorchServe, which has none, ignores this part of the path."""
        return None if self.workflows.registry.get(name).spec.version is None else version
