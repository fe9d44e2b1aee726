"""The rows of the management listener."""

from __future__ import annotations

from modelserver.management import parameters as calls
from modelserver.rest.management.advice import PARAMETERS as ADVICE
from modelserver.rest.management.row import management_route
from modelserver.rest.route import (
    ANY_METHOD,
    MODEL_CONTROL,
    OPEN_INFERENCE,
    TOKENS,
    TORCHSERVE,
    Access,
    ListenerRole,
    Route,
)

_STATUS = {200: "Status"}
_SCALED = {200: "Status", 202: "Status", 206: "Status", 210: "Status"}
_OPEN_API = {200: "OpenApi"}
_DESCRIPTION = {200: "Description"}

_MODEL = "/models/{model_name}"
_VERSION = "/models/{model_name}/{model_version}"
_OF_MODEL = "Describe the management routes of this model as an OpenAPI document."


MANAGEMENT_ROUTES: tuple[Route, ...] = (
    management_route(
        "listModels", "GET", "/models", "List the models.", {200: "ModelList"}, parameters=calls.LIST
    ),
    management_route(
        "registerModel",
        "POST",
        "/models",
        "Register a version of a model from an archive, and start its first workers.",
        {200: "Status", 202: "Status"},
        refusals=(403, 404, 408, 409, 413, 500, 503, 507),
        parameters=calls.REGISTER,
        feature=MODEL_CONTROL,
        body="fields",
    ),
    management_route(
        "describeModel",
        "GET",
        _MODEL,
        "Describe the default version of a model, and its workers.",
        _DESCRIPTION,
        refusals=(404, 500, 503),
        parameters=calls.DESCRIBE,
    ),
    management_route(
        "setAutoScale",
        "PUT",
        _MODEL,
        "Set the number of workers of the default version.",
        _SCALED,
        refusals=(404, 500, 507),
        parameters=calls.SCALE,
    ),
    management_route(
        "unregisterModel",
        "DELETE",
        _MODEL,
        "Unregister the default version, which must be the only one.",
        _STATUS,
        refusals=(403, 404, 408, 500),
        feature=MODEL_CONTROL,
    ),
    management_route(
        "modelApiDescription",
        "OPTIONS",
        _MODEL,
        _OF_MODEL,
        _OPEN_API,
        refusals=(404,),
        dialects=(TORCHSERVE,),
        documented=(),
    ),
    management_route(
        "describeAllVersions",
        "GET",
        "/models/{model_name}/all",
        "Describe every version of a model, and their workers.",
        _DESCRIPTION,
        refusals=(404,),
        dialects=(TORCHSERVE,),
    ),
    management_route(
        "modelAdvice",
        "GET",
        f"{_MODEL}/advice",
        "Recommend batch size, delay and workers for the default version, from what was measured so far.",
        {200: "Advice"},
        refusals=(404,),
        parameters=ADVICE,
    ),
    management_route(
        "version_modelAdvice",
        "GET",
        f"{_VERSION}/advice",
        "Recommend batch size, delay and workers for a version, from what was measured so far.",
        {200: "Advice"},
        refusals=(404,),
        parameters=ADVICE,
        dialects=(TORCHSERVE,),
    ),
    management_route(
        "version_describeModel",
        "GET",
        _VERSION,
        "Describe a version of a model, and its workers.",
        _DESCRIPTION,
        refusals=(404, 500, 503),
        parameters=calls.DESCRIBE,
        dialects=(TORCHSERVE,),
    ),
    management_route(
        "version_setAutoScale",
        "PUT",
        _VERSION,
        "Set the number of workers of a version.",
        _SCALED,
        refusals=(404, 500, 507),
        parameters=calls.SCALE_VERSION,
        dialects=(TORCHSERVE,),
    ),
    management_route(
        "version_unregisterModel",
        "DELETE",
        _VERSION,
        "Unregister a version; the default one only if it is the last.",
        _STATUS,
        refusals=(403, 404, 408, 500),
        feature=MODEL_CONTROL,
        dialects=(TORCHSERVE,),
    ),
    management_route(
        "version_modelApiDescription",
        "OPTIONS",
        _VERSION,
        _OF_MODEL,
        _OPEN_API,
        refusals=(404,),
        dialects=(TORCHSERVE,),
        documented=(),
    ),
    management_route(
        "setDefault",
        "PUT",
        "/models/{model_name}/{model_version}/set-default",
        "Make a version the one that is meant when none is named.",
        _STATUS,
        refusals=(404,),
        dialects=(TORCHSERVE,),
    ),
    management_route(
        "modelReady",
        "GET",
        "/v1/models/{model_name}",
        "Tell whether a worker has loaded the model (KServe's protocol, version 1).",
        {200: "Ready"},
        refusals=(404,),
        dialects=(TORCHSERVE,),
        documented=(),
        # KServe's clients ask where they predict.
        at_inference=OPEN_INFERENCE,
    ),
    Route(
        operation="token",
        methods=ANY_METHOD,
        path="/token",
        listeners=frozenset({ListenerRole.MANAGEMENT}),
        access=Access.API_KEY,
        description="Renew a key; the new one is written to the key file.",
        answers={200: "Nothing"},
        refusals=(400,),
        parameters=(calls.TOKEN_TYPE,),
        dialects=(TORCHSERVE,),
        feature=TOKENS,
    ),
)
"""The grammar of management URLs. The peers' documents:

https://github.com/pytorch/serve/blob/master/docs/management_api.md
https://github.com/awslabs/multi-model-server/blob/master/docs/management_api.md
"""
