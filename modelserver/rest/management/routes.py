"""The rows of the management listener."""

from __future__ import annotations

from attrs import evolve

from modelserver.rest.management import parameters as calls
from modelserver.rest.parameters import Parameter
from modelserver.rest.route import (
    ANY_METHOD,
    MODEL_CONTROL,
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


def _route(
    operation: str,
    method: str,
    path: str,
    description: str,
    answers: dict[int, str],
    refusals: tuple[int, ...] = (),
    parameters: tuple[Parameter, ...] = (),
    feature: str = "",
    body: str = "",
) -> Route:
    return Route(
        operation,
        (method,),
        path,
        frozenset({ListenerRole.MANAGEMENT}),
        Access.MANAGEMENT,
        description,
        answers,
        (400, 405, *refusals),
        parameters,
        feature=feature,
        body=body,
    )


_MODELS = (
    _route("listModels", "GET", "/models", "List the models.", {200: "ModelList"}, (), calls.LIST),
    _route(
        "registerModel",
        "POST",
        "/models",
        "Register a version of a model from an archive, and start its first workers.",
        {200: "Status", 202: "Status"},
        (403, 404, 408, 409, 413, 500, 503, 507),
        calls.REGISTER,
        MODEL_CONTROL,
        "fields",
    ),
    _route(
        "describeModel",
        "GET",
        _MODEL,
        "Describe the default version of a model, and its workers.",
        _DESCRIPTION,
        (404, 500, 503),
        calls.DESCRIBE,
    ),
    _route(
        "setAutoScale",
        "PUT",
        _MODEL,
        "Set the number of workers of the default version.",
        _SCALED,
        (404, 500, 507),
        calls.SCALE,
    ),
    _route(
        "unregisterModel",
        "DELETE",
        _MODEL,
        "Unregister the default version, which must be the only one.",
        _STATUS,
        (403, 404, 408, 500),
        (),
        MODEL_CONTROL,
    ),
)

_TORCHSERVE_ROWS = (
    ("modelApiDescription", "OPTIONS", _MODEL, _OF_MODEL, _OPEN_API, (404,)),
    (
        "describeAllVersions",
        "GET",
        "/models/{model_name}/all",
        "Describe every version of a model, and their workers.",
        _DESCRIPTION,
        (404,),
    ),
    (
        "version_describeModel",
        "GET",
        _VERSION,
        "Describe a version of a model, and its workers.",
        _DESCRIPTION,
        (404, 500, 503),
        calls.DESCRIBE,
    ),
    (
        "version_setAutoScale",
        "PUT",
        _VERSION,
        "Set the number of workers of a version.",
        _SCALED,
        (404, 500, 507),
        calls.SCALE_VERSION,
    ),
    (
        "version_unregisterModel",
        "DELETE",
        _VERSION,
        "Unregister a version; the default one only if it is the last.",
        _STATUS,
        (403, 404, 408, 500),
        (),
        MODEL_CONTROL,
    ),
    ("version_modelApiDescription", "OPTIONS", _VERSION, _OF_MODEL, _OPEN_API, (404,)),
    (
        "setDefault",
        "PUT",
        "/models/{model_name}/{model_version}/set-default",
        "Make a version the one that is meant when none is named.",
        _STATUS,
        (404,),
    ),
    (
        "modelReady",
        "GET",
        "/v1/models/{model_name}",
        "Tell whether a worker has loaded the model (KServe's protocol, version 1).",
        {200: "Ready"},
        (404,),
    ),
)

_TOKEN = Route(
    "token",
    ANY_METHOD,
    "/token",
    frozenset({ListenerRole.MANAGEMENT}),
    Access.API_KEY,
    "Renew a key; the new one is written to the key file.",
    {200: "Nothing"},
    (400,),
    (calls.TOKEN_TYPE,),
    (TORCHSERVE,),
    TOKENS,
)

MANAGEMENT_ROUTES: tuple[Route, ...] = (
    *_MODELS,
    *(evolve(_route(*row), dialects=(TORCHSERVE,)) for row in _TORCHSERVE_ROWS),
    _TOKEN,
)
