"""The parameters of calls about workflows, and the requests made of them."""

from __future__ import annotations

from modelserver.management.call_parameters import Fields, Parameter
from modelserver.management.parameters import (
    NEXT_PAGE_TOKEN,
    S3_SSE_KMS,
    SETTINGS,
    SHA256,
    given_settings,
    most_listed,
    name_to_serve,
)
from modelserver.management.workflows.requests import WorkflowRequest

URL = Parameter(
    "url",
    "text",
    "Where the archive is: its file name in the workflow store, or a URL that the server may fetch.",
    required=True,
)
WORKFLOW_NAME = name_to_serve("workflow")
TIMEOUTS = tuple(
    (row, parameter) for row, parameter in SETTINGS if row.name in ("response_timeout", "startup_timeout")
)
"""The settings that a registration gives to all of its nodes."""
REGISTER_WORKFLOW = (
    URL,
    WORKFLOW_NAME,
    *(parameter for _, parameter in TIMEOUTS),
    S3_SSE_KMS,
    SHA256,
)
LIST_WORKFLOWS = (most_listed("workflows"), NEXT_PAGE_TOKEN)


def workflow_request(fields: Fields) -> WorkflowRequest:
    """
    Read what the registration of a workflow asks for; it always waits for the workers, as in TorchServe.

    :raises ParameterMissing: there is no URL.
    :raises BadRequest: a value is out of range.
    """
    return WorkflowRequest(
        url=fields.required_text(URL),
        name=fields.text(WORKFLOW_NAME),
        settings=given_settings(fields, TIMEOUTS),
        signed=fields.boolean(S3_SSE_KMS),
        sha256=fields.text(SHA256),
    )
