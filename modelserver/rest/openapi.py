"""
OpenAPI 3.0.1 documents, made from the table of routes.

They list what the peers' documents list: for each of these routes the method that is documented, not every
one that is served. They are compact, and what several operations share stands once in them. Generators of
clients (openapi-generator, openapi-python-client) have to get along with them; tests see to it. Therefore a
registration is described with the parameters of its query only, as by the peers, not with a body as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from urllib.parse import quote

from attrs import field

from modelserver import __version__
from modelserver.archive.names import NAME
from modelserver.dialect_rules import MMS, TORCHSERVE
from modelserver.language.attributes import define
from modelserver.management.call_parameters import Parameter
from modelserver.rest.openapi_schemas import HEADERS, PLAIN, SCHEMAS, Schema
from modelserver.rest.parameters import JSON
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
    "workflow_name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "workflow_version": {"type": "string", "pattern": f"^{NAME.pattern}$"},
}
_NO_NUL = r"^[^\u0000]*$"
"""A request target with a NUL is refused, wherever in it that is."""
_NO_NAME_CHARACTER = re.compile(r"[^A-Za-z0-9._-]")
_BINARY: Schema = {"type": "string", "format": "binary"}
_ANYTHING: Schema = {"allOf": [{}]}
"""
Any JSON. Of a plain ``{}`` openapi-python-client 0.29 makes code that cannot run (``isinstance(body, Any)``),
and of an object openapi-generator 7.26 makes a client that cannot send bytes.
"""
_BYTES, _ANY = "application/octet-stream", "*/*"
"""Generators leave out bodies and answers of which they know only ``*/*``: it stands last."""

_TITLE, _MODEL = b"{title_name}", b"{model_name}"
_PLACES = re.compile(rb"\{title_name\}|\{model_name\}")
"""Where the description of one model has its name, in the bytes that all models share."""


@define(eq=False)
class Descriptions:
    """The documents of one listener, each built when it is first asked for, as bytes."""

    routes: tuple[Route, ...]
    dialect: str
    _listener: bytes = field(default=b"", init=False)
    _models: dict[ListenerRole, bytes] = field(factory=dict, init=False)

    def of_listener(self) -> bytes:
        """Return the description of all routes."""
        if not self._listener:
            self._listener = _compact(document(self.routes, self.dialect))
        return self._listener

    def of_model(self, name: str, role: ListenerRole) -> bytes:
        """Return the description of the routes that one model has."""
        if role not in self._models:
            self._models[role] = _compact(model_document(self.routes, self.dialect, role))
        told = {_TITLE: _inside_text(name), _MODEL: _inside_text(quote(name, safe=""))}
        return _PLACES.sub(lambda place: told[place[0]], self._models[role])


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _inside_text(text: str) -> bytes:
    """Return a text as it stands between the quotes of a JSON text."""
    return json.dumps(text)[1:-1].encode()


def document(routes: Iterable[Route], dialect: str) -> Schema:
    """Describe the routes of a listener."""
    return _DocumentBuilder(dialect).describe({**_INFO[dialect], "description": _ABOUT}, routes)


def model_document(routes: Iterable[Route], dialect: str, role: ListenerRole) -> Schema:
    """
    Describe the routes that a model has on a listener; the places for its name are to be filled.

    It is as short as the peers' is: without what is deprecated or describes, and all errors are one answer.
    """
    chosen = [
        route
        for route in routes
        if role in route.listeners
        and _MODEL.decode() in route.path
        and "OPTIONS" not in route.methods
        and not route.is_deprecated
    ]
    title = _MODEL_TITLES[role] + _TITLE.decode()
    info: Schema = {"title": title, "version": __version__, "description": _ABOUT}
    return _DocumentBuilder(dialect, is_for_a_model=True).describe(info, chosen)


@define(eq=False)
class _DocumentBuilder:
    """
    One document while it is built.

    :param is_for_a_model: the model's name is no parameter, and all errors are one answer.
    """

    dialect: str
    is_for_a_model: bool = False
    _components: dict[str, dict[str, object]] = field(factory=dict, init=False)

    def describe(self, info: Schema, routes: Iterable[Route]) -> Schema:
        """Return the whole."""
        paths: dict[str, dict[str, Schema]] = {}
        for route in routes:
            if self.dialect in route.documented:
                method = route.methods[0].lower()
                paths.setdefault(route.path, {})[method] = self._operation(route)
        return {"openapi": "3.0.1", "info": info, "paths": paths, "components": self._components}

    def _share(self, kind: str, name: str, value: object, route: Route) -> Schema:
        """Write a value down once; another one of the same name gets the operation's name in front of it."""
        known = self._components.setdefault(kind, {})
        if known.setdefault(name, value) != value:
            name = f"{route.operation}.{name}"
            known[name] = value
        return {"$ref": f"#/components/{kind}/{name}"}

    def _operation(self, route: Route) -> Schema:
        known = [parameter for parameter in route.parameters if self.dialect in parameter.dialects]
        variables = [
            name
            for name in _VARIABLE.findall(route.path)
            if not (self.is_for_a_model and name == "model_name")
        ]
        operation: Schema = {
            "operationId": route.operation,
            "description": route.description,
            "parameters": [
                *(self._share("parameters", f"path.{name}", _variable(name), route) for name in variables),
                *(self._parameter(parameter, route) for parameter in known),
            ],
            "responses": self._responses(route),
        }
        if route.is_deprecated:
            operation["deprecated"] = True
        if route.body == "inputs":
            operation["requestBody"] = self._share("requestBodies", "Inputs", _inputs(), route)
        return operation

    def _parameter(self, parameter: Parameter, route: Route) -> Schema:
        name = _NO_NAME_CHARACTER.sub("", parameter.name)
        return self._share("parameters", name, _query_parameter(parameter), route)

    def _responses(self, route: Route) -> Schema:
        responses: Schema = {
            str(code): self._response(code, name, route)
            for code, name in route.answers.items()
            if _ONLY_IN.get(code, self.dialect) == self.dialect
        }
        if self.is_for_a_model:
            error = {"description": "An error.", "content": self._json("Error", route)}
            responses["default"] = self._share("responses", "Error", error, route)
            return responses
        for code in route.refusals:
            responses[str(code)] = self._response(code, "Error", route)
        if route.body == "inputs":
            other = {"description": "Any other status that the handler chose."}
            responses["default"] = self._share("responses", "Other", other, route)
        return dict(sorted(responses.items()))

    def _response(self, code: int, name: str, route: Route) -> Schema:
        has_warning = code < HTTPStatus.BAD_REQUEST and bool(route.parameters)
        response: Schema = {"description": _phrase(code), "headers": self._headers(code, has_warning, route)}
        if name == "Prediction":
            # The handler decides on the content type, and mostly on none.
            response["description"] = "What the handler returned."
            response["content"] = {_BYTES: {"schema": _BINARY}, _ANY: {"schema": _BINARY}}
        elif name in PLAIN:
            response["content"] = {PLAIN[name]: {"schema": {"type": "string"}}}
        else:
            response["content"] = self._json(name, route)
        key = f"{name}{code}{'Warning' if has_warning else ''}"
        return self._share("responses", key, response, route)

    def _json(self, name: str, route: Route) -> Schema:
        return {JSON: {"schema": self._share("schemas", name, SCHEMAS[self.dialect][name], route)}}

    def _headers(self, code: int, has_warning: bool, route: Route) -> Schema:
        wanted = {
            "x-request-id": "RequestId",
            "Allow": "Allow" if code == HTTPStatus.METHOD_NOT_ALLOWED else "",
            "Retry-After": "RetryAfter" if code == HTTPStatus.SERVICE_UNAVAILABLE else "",
            "Warning": "Warning" if has_warning else "",
        }
        return {
            header: self._share("headers", name, HEADERS[name], route)
            for header, name in wanted.items()
            if name
        }


def _variable(name: str) -> Schema:
    return {"in": "path", "name": name, "required": True, "schema": _VARIABLES[name]}


def _query_parameter(parameter: Parameter) -> Schema:
    return {
        "in": "query",
        "name": parameter.name,
        "description": parameter.description,
        "required": parameter.required,
        "schema": _schema(parameter),
    }


def _schema(parameter: Parameter) -> Schema:
    """Return what a client should send; without ``strict_parameters`` more is taken, with a warning."""
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


def _inputs() -> Schema:
    return {
        "description": "The handler's input, of any content type; a form gives one input for each field.",
        "content": {JSON: {"schema": _ANYTHING}, _BYTES: {"schema": _BINARY}, _ANY: {"schema": _BINARY}},
    }


def _phrase(code: int) -> str:
    return _PHRASES.get(code) or HTTPStatus(code).phrase
