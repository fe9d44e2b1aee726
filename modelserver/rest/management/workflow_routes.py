"""The rows of the management listener that are about workflows."""

from __future__ import annotations

from functools import partial

from modelserver.rest.management import workflow_parameters as calls
from modelserver.rest.management.row import management_route
from modelserver.rest.route import TORCHSERVE, WORKFLOW_CONTROL, Route

_STATUS = {200: "Status"}
_DESCRIPTION = {200: "WorkflowDescription"}
_WORKFLOW = "/workflows/{workflow_name}"
_VERSION = "/workflows/{workflow_name}/{workflow_version}"


_route = partial(management_route, dialects=(TORCHSERVE,))


WORKFLOW_ROUTES: tuple[Route, ...] = (
    _route(
        "listWorkflows",
        "GET",
        "/workflows",
        "List the workflows.",
        {200: "WorkflowList"},
        parameters=calls.LIST_WORKFLOWS,
    ),
    _route(
        "registerWorkflow",
        "POST",
        "/workflows",
        "Register a workflow from an archive, with the models of its nodes, and wait for their workers.",
        _STATUS,
        refusals=(403, 404, 408, 409, 413, 500),
        parameters=calls.REGISTER_WORKFLOW,
        feature=WORKFLOW_CONTROL,
        body="fields",
    ),
    _route(
        "describeWorkflow",
        "GET",
        _WORKFLOW,
        "Describe a workflow: its graph, and what each node is.",
        _DESCRIPTION,
        refusals=(404,),
    ),
    _route(
        "unregisterWorkflow",
        "DELETE",
        _WORKFLOW,
        "Unregister a workflow, which must have one version only, with the models of its nodes.",
        _STATUS,
        refusals=(403, 404, 500),
        feature=WORKFLOW_CONTROL,
    ),
    _route(
        "describeAllWorkflowVersions",
        "GET",
        "/workflows/{workflow_name}/all",
        "Describe every version of a workflow.",
        _DESCRIPTION,
        refusals=(404,),
    ),
    _route(
        "version_describeWorkflow",
        "GET",
        _VERSION,
        "Describe a version of a workflow; of one that says no version, whatever is named.",
        _DESCRIPTION,
        refusals=(404,),
    ),
    _route(
        "version_unregisterWorkflow",
        "DELETE",
        _VERSION,
        "Unregister a version of a workflow; of one that says no version, whatever is named.",
        _STATUS,
        refusals=(403, 404, 500),
        feature=WORKFLOW_CONTROL,
    ),
    _route(
        "setDefaultWorkflow",
        "PUT",
        "/workflows/{workflow_name}/{workflow_version}/set-default",
        "Choose the version of a workflow that serves requests which name none.",
        _STATUS,
        refusals=(404,),
    ),
)
"""The grammar of the URLs of workflows. TorchServe's document:

https://github.com/pytorch/serve/blob/master/docs/workflow_management_api.md
"""
