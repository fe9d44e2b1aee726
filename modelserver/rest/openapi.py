"""OpenAPI 3.0.1 documents, made from the table of routes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from modelserver import __version__
from modelserver.archive.names import NAME
from modelserver.dialect_rules import MMS, TORCHSERVE
from modelserver.rest.openapi_schemas import HEADERS, PLAIN, SCHEMAS, Schema
from modelserver.rest.parameters import FORM, JSON, Parameter
from modelserver.rest.route import ListenerRole, Route

_INFO: Mapping[str, Schema] = {
    TORCHSERVE.name: {"title": "TorchServe APIs", "version": __version__},
    MMS.name: {"title": "Model Server APIs", "version": "1.0.0"},
}
_MODEL_TITLES = {
    ListenerRole.MANAGEMENT: "RESTful Management API for: ",
    ListenerRole.INFERENCE: "RESTful API for: ",
}
_ABOUT = "Serves machine learning models over HTTP."
_ONLY_IN = {206: TORCHSERVE.name, 210: MMS.name}
_PHRASES = {210: "Partial Success"}
_VARIABLE = re.compile(r"\{(\w+)\}")
_VARIABLES: Mapping[str, Schema] = {
    "model_name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "model_version": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "rest": {"type": "string", "pattern": r"^[^\u0000-\u001f\u007f]+$"},
}
_IS_INTEGER = "^[+-]?[0-9]+$"
_NO_NUL = r"^[^\u0000]*$"
"""A request target with a NUL is refused, wherever in it that is."""


def document(routes: Iterable[Route], dialect: str, strict: bool = False) -> Schema:
    """
    Describe the routes of a listener.

    :param strict: whether parameters that cannot be read are refused.
    """
    return _document({**_INFO[dialect], "description": _ABOUT}, routes, dialect, strict)


def model_document(
    routes: Iterable[Route], dialect: str, name: str, listener: ListenerRole, strict: bool = False
) -> Schema:
    """Describe the routes that one model has on a listener; its name stands in their paths."""
    chosen = [route for route in routes if listener in route.listeners and "{model_name}" in route.path]
    info: Schema = {"title": _MODEL_TITLES[listener] + name, "version": __version__, "description": _ABOUT}
    described = _document(info, chosen, dialect, strict)
    paths = described["paths"]
    assert isinstance(paths, dict)  # _document makes it
    for operations in paths.values():
        for operation in operations.values():
            operation["parameters"] = [
                parameter for parameter in operation["parameters"] if parameter["name"] != "model_name"
            ]
    described["paths"] = {
        path.replace("{model_name}", name): operations for path, operations in paths.items()
    }
    return described


def _document(info: Schema, routes: Iterable[Route], dialect: str, strict: bool) -> Schema:
    paths: dict[str, dict[str, Schema]] = {}
    for route in routes:
        for method in route.methods:
            operations = paths.setdefault(route.path, {})
            operations[method.lower()] = _operation(route, method, dialect, strict)
    return {
        "openapi": "3.0.1",
        "info": info,
        "paths": paths,
        "components": {"schemas": SCHEMAS[dialect], "headers": HEADERS},
    }


def _operation(route: Route, method: str, dialect: str, strict: bool) -> Schema:
    is_first = method == route.methods[0]
    known = [parameter for parameter in route.parameters if dialect in parameter.dialects]
    operation: Schema = {
        "operationId": route.operation if is_first else f"{route.operation}_{method.lower()}",
        "description": route.description,
        "parameters": [
            *(_path_parameter(name) for name in _VARIABLE.findall(route.path)),
            *(_query_parameter(parameter, strict) for parameter in known),
        ],
        "responses": _responses(route, dialect),
    }
    if route.is_deprecated:
        operation["deprecated"] = True
    if route.body and method != "GET":
        operation["requestBody"] = _inputs() if route.body == "inputs" else _fields(known, strict)
    return operation


# Parameters.


def _path_parameter(name: str) -> Schema:
    return {"in": "path", "name": name, "required": True, "schema": _VARIABLES[name]}


def _query_parameter(parameter: Parameter, strict: bool) -> Schema:
    return {
        "in": "query",
        "name": parameter.name,
        "description": parameter.description,
        "required": parameter.required,
        "schema": _text_schema(parameter, strict),
    }


def _text_schema(parameter: Parameter, strict: bool) -> Schema:
    """What is taken of a parameter in a query or a form, where everything is text."""
    schema = _typed_schema(parameter)
    if strict or parameter.kind == "text":
        return schema
    default = schema.pop("default", None)
    other: Schema = {"type": "string", "pattern": _NO_NUL}
    if parameter.kind == "integer":
        other["not"] = {"type": "string", "pattern": _IS_INTEGER}
    lenient: Schema = {"anyOf": [schema, other]}
    return lenient if default is None else {**lenient, "default": default}


def _typed_schema(parameter: Parameter) -> Schema:
    """What is taken of a parameter in JSON."""
    schema: Schema
    if parameter.kind == "integer":
        schema = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most}
    elif parameter.kind == "boolean":
        schema = {"type": "boolean"}
    else:
        schema = {"type": "string", "pattern": _NO_NUL}
        # An empty text is as good as none.
        if parameter.choices:
            schema = {"type": "string", "enum": [*parameter.choices, ""]}
        if parameter.pattern:
            schema = {"type": "string", "pattern": f"^({parameter.pattern})?$"}
    if parameter.default is not None:
        schema["default"] = parameter.default
    return schema


# Bodies.


def _inputs() -> Schema:
    return {
        "description": "The handler's input, of any content type; a form gives one input for each field.",
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    }


def _fields(parameters: Iterable[Parameter], strict: bool) -> Schema:
    known = list(parameters)
    required = [parameter.name for parameter in known if parameter.required]
    typed = {parameter.name: _typed_schema(parameter) for parameter in known}
    text = {parameter.name: _text_schema(parameter, strict) for parameter in known}
    return {
        "description": "The parameters, instead of the query as JSON or beside it as a form.",
        "content": {
            JSON: {"schema": {"type": "object", "required": required, "properties": typed}},
            FORM: {"schema": {"type": "object", "properties": text}},
        },
    }


# Answers.


def _responses(route: Route, dialect: str) -> Schema:
    responses: Schema = {
        str(code): _response(code, name, route)
        for code, name in route.answers.items()
        if _ONLY_IN.get(code, dialect) == dialect
    }
    for code in route.refusals:
        responses[str(code)] = _response(code, "Error", route)
    if route.body == "inputs":
        responses["default"] = {"description": "Any other status that the handler chose."}
    return dict(sorted(responses.items()))


def _response(code: int, name: str, route: Route) -> Schema:
    headers: Schema = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
    if code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = {"$ref": "#/components/headers/Allow"}
    if code == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    if code < HTTPStatus.BAD_REQUEST and route.parameters:
        headers["Warning"] = {"$ref": "#/components/headers/Warning"}
    response: Schema = {"description": _phrase(code), "headers": headers}
    if name == "Prediction":
        # The handler decides on the content type, and mostly on none.
        return {**response, "description": "What the handler returned."}
    if name in PLAIN:
        response["content"] = {PLAIN[name]: {"schema": {"type": "string"}}}
    else:
        response["content"] = {JSON: {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return response


def _phrase(code: int) -> str:
    return _PHRASES.get(code) or HTTPStatus(code).phrase
