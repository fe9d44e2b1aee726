"""The rows that are about the model store as a repository, in the Open Inference Protocol's words."""

from __future__ import annotations

from modelserver.rest.management.row import management_route
from modelserver.rest.route import (
    CONTROL_AT_INFERENCE,
    MODEL_CONTROL,
    REPOSITORY_AT_INFERENCE,
    TORCHSERVE,
    Route,
)

_MODEL = "/v2/repository/models/{model_name}"


REPOSITORY_ROUTES: tuple[Route, ...] = (
    management_route(
        "repositoryIndex",
        "POST",
        "/v2/repository/index",
        "List the models that are registered, and those of the model store that could be.",
        {200: "RepositoryIndex"},
        dialects=(TORCHSERVE,),
        only_reads=True,
        at_inference=REPOSITORY_AT_INFERENCE,
    ),
    management_route(
        "repositoryLoad",
        "POST",
        f"{_MODEL}/load",
        "Register a model of the model store by its name, and wait for its workers.",
        {200: "Object"},
        refusals=(404, 408, 409, 500, 503, 507),
        dialects=(TORCHSERVE,),
        feature=MODEL_CONTROL,
        at_inference=CONTROL_AT_INFERENCE,
    ),
    management_route(
        "repositoryUnload",
        "POST",
        f"{_MODEL}/unload",
        "Unregister every version of a model.",
        {200: "Object"},
        refusals=(404, 408, 409, 500),
        dialects=(TORCHSERVE,),
        feature=MODEL_CONTROL,
        at_inference=CONTROL_AT_INFERENCE,
    ),
)
"""Triton's extension, which KServe's agent and MLServer have, too:

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_model_repository.md
"""
