"""The table of routes, and the OpenAPI documents that are made of it."""

from __future__ import annotations

import json
from itertools import product
from typing import Any
from unittest import TestCase
from urllib.parse import quote

from klein import Klein
from openapi_spec_validator import validate

from modelserver.rest.binding import bind, klein_path
from modelserver.rest.openapi import Descriptions, document
from modelserver.rest.route import (
    DASHBOARD,
    MODEL_CONTROL,
    OPEN_INFERENCE,
    TOKENS,
    WORKFLOW_CONTROL,
    Access,
    ListenerRole,
)
from modelserver.rest.routes import ROUTES, select

FEATURES = (MODEL_CONTROL, OPEN_INFERENCE, TOKENS, WORKFLOW_CONTROL, DASHBOARD)
DIALECTS = ("torchserve", "mms")
LISTENERS = (
    (ListenerRole.MANAGEMENT,),
    (ListenerRole.INFERENCE,),
    (ListenerRole.METRICS,),
    (ListenerRole.INFERENCE, ListenerRole.MANAGEMENT),
    tuple(ListenerRole),
)

# Every row of the references: listener, method, path, operation, access, dialects.
TS = ("torchserve",)
MANAGEMENT, INFERENCE = ListenerRole.MANAGEMENT, ListenerRole.INFERENCE
ROWS = [
    (MANAGEMENT, "POST", "/models", "registerModel", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "GET", "/models", "listModels", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "GET", "/models/m", "describeModel", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "GET", "/models/m/1.0", "version_describeModel", Access.MANAGEMENT, TS),
    (MANAGEMENT, "GET", "/models/m/all", "describeAllVersions", Access.MANAGEMENT, TS),
    (MANAGEMENT, "GET", "/models/m/advice", "modelAdvice", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "GET", "/models/m/1.0/advice", "version_modelAdvice", Access.MANAGEMENT, TS),
    (MANAGEMENT, "PUT", "/models/m", "setAutoScale", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "PUT", "/models/m/1.0", "version_setAutoScale", Access.MANAGEMENT, TS),
    (MANAGEMENT, "PUT", "/models/m/1.0/set-default", "setDefault", Access.MANAGEMENT, TS),
    (MANAGEMENT, "DELETE", "/models/m", "unregisterModel", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "DELETE", "/models/m/1.0", "version_unregisterModel", Access.MANAGEMENT, TS),
    (MANAGEMENT, "OPTIONS", "/models/m", "modelApiDescription", Access.MANAGEMENT, TS),
    (MANAGEMENT, "GET", "/v1/models/m", "modelReady", Access.MANAGEMENT, TS),
    (MANAGEMENT, "GET", "/workflows", "listWorkflows", Access.MANAGEMENT, TS),
    (MANAGEMENT, "POST", "/workflows", "registerWorkflow", Access.MANAGEMENT, TS),
    (MANAGEMENT, "GET", "/workflows/w", "describeWorkflow", Access.MANAGEMENT, TS),
    (MANAGEMENT, "DELETE", "/workflows/w", "unregisterWorkflow", Access.MANAGEMENT, TS),
    (MANAGEMENT, "GET", "/workflows/w/all", "describeAllWorkflowVersions", Access.MANAGEMENT, TS),
    (MANAGEMENT, "GET", "/workflows/w/1", "version_describeWorkflow", Access.MANAGEMENT, TS),
    (MANAGEMENT, "DELETE", "/workflows/w/1", "version_unregisterWorkflow", Access.MANAGEMENT, TS),
    (MANAGEMENT, "PUT", "/workflows/w/1/set-default", "setDefaultWorkflow", Access.MANAGEMENT, TS),
    (MANAGEMENT, "POST", "/v2/repository/index", "repositoryIndex", Access.MANAGEMENT, TS),
    (MANAGEMENT, "POST", "/v2/repository/models/m/load", "repositoryLoad", Access.MANAGEMENT, TS),
    (MANAGEMENT, "POST", "/v2/repository/models/m/unload", "repositoryUnload", Access.MANAGEMENT, TS),
    (MANAGEMENT, "OPTIONS", "/", "apiDescription", Access.OPEN, DIALECTS),
    (MANAGEMENT, "POST", "/api-description", "api-description", Access.OPEN, DIALECTS),
    (MANAGEMENT, "GET", "/token", "token", Access.API_KEY, TS),
    (INFERENCE, "OPTIONS", "/", "apiDescription", Access.OPEN, DIALECTS),
    (INFERENCE, "GET", "/ping", "ping", Access.INFERENCE, DIALECTS),
    (INFERENCE, "DELETE", "/ping/a/b", "ping_below", Access.INFERENCE, DIALECTS),
    (INFERENCE, "POST", "/predictions/m", "predictions", Access.INFERENCE, DIALECTS),
    (INFERENCE, "PUT", "/predictions/m", "predictions", Access.INFERENCE, DIALECTS),
    (INFERENCE, "GET", "/predictions/m/1", "version_predictions", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/predictions/m/1/a", "predictions_below", Access.INFERENCE, ("mms",)),
    (
        INFERENCE,
        "POST",
        "/predictions/m/1/a/b",
        "version_predictions_below",
        Access.INFERENCE,
        TS,
    ),
    (INFERENCE, "POST", "/explanations/m", "explanations", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/explanations/m/1", "version_explanations", Access.INFERENCE, TS),
    (INFERENCE, "PATCH", "/wfpredict/w", "workflow", Access.INFERENCE, TS),
    (INFERENCE, "DELETE", "/wfpredict/w/predict", "workflow_below", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/invocations", "invocations", Access.INFERENCE, DIALECTS),
    (INFERENCE, "POST", "/models/m/invoke", "invoke", Access.INFERENCE, DIALECTS),
    (INFERENCE, "POST", "/m/predict", "predict", Access.INFERENCE, DIALECTS),
    (INFERENCE, "POST", "/m/1/predict", "version_predict", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/v1/models/m:predict", "kserve_v1_predict", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/v1/models/m:explain", "kserve_v1_explain", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/v2/models/m/infer", "kserve_v2_infer", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2", "kserve_v2_server", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/health/live", "kserve_v2_live", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m/ready", "kserve_v2_model_ready", Access.INFERENCE, TS),
    (MANAGEMENT, "OPTIONS", "/models/m/1", "version_modelApiDescription", Access.MANAGEMENT, TS),
    (INFERENCE, "POST", "/explanations/m/1/a/b", "version_explanations_below", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/v2/models/m/explain", "kserve_v2_explain", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/v2/models/m/versions/1/infer", "kserve_v2_version_infer", Access.INFERENCE, TS),
    (INFERENCE, "POST", "/v2/models/m/versions/1/explain", "kserve_v2_version_explain", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/health/ready", "kserve_v2_ready", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m", "kserve_v2_model", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m/versions/1", "kserve_v2_version", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m/versions/1/ready", "kserve_v2_version_ready", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m/config", "kserve_v2_model_config", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m/versions/1/config", "kserve_v2_version_config", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/stats", "kserve_v2_statistics", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m/stats", "kserve_v2_model_statistics", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/v2/models/m/versions/1/stats", "kserve_v2_version_statistics", Access.INFERENCE, TS),
    (INFERENCE, "GET", "/health/live", "live", Access.OPEN, DIALECTS),
    (INFERENCE, "GET", "/health/ready", "ready", Access.OPEN, DIALECTS),
    (MANAGEMENT, "GET", "/", "dashboardHome", Access.OPEN, DIALECTS),
    (MANAGEMENT, "GET", "/dashboard", "dashboard", Access.OPEN, DIALECTS),
    (MANAGEMENT, "GET", "/dashboard/assets/app.js", "dashboardAsset", Access.OPEN, DIALECTS),
    (MANAGEMENT, "GET", "/dashboard/stream", "dashboardStream", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "GET", "/dashboard/store", "dashboardStore", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "GET", "/dashboard/configuration", "dashboardConfiguration", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "GET", "/dashboard/versions/m/1.0", "dashboardVersion", Access.MANAGEMENT, DIALECTS),
    (MANAGEMENT, "POST", "/dashboard/predictions/m/1.0", "dashboardPrediction", Access.MANAGEMENT, DIALECTS),
    (ListenerRole.METRICS, "GET", "/metrics", "metrics", Access.OPEN, DIALECTS),
    (ListenerRole.METRICS, "GET", "/metrics/a", "metrics_below", Access.OPEN, DIALECTS),
]
# Every prediction route describes its model.
ROWS += [
    (INFERENCE, "OPTIONS", path, f"{operation}Description", access, dialects)
    for listener, method, path, operation, access, dialects in ROWS
    if listener is INFERENCE
    and (method == "POST" or operation in ("version_predictions", "predictions_below"))
]


class AllowAll:
    """Lets everybody pass."""

    def check(self, kind: str, authorization: bytes | None) -> None:
        """Nothing to check."""


def operation_at(listeners: tuple[ListenerRole, ...], dialect: str, method: str, path: str) -> str:
    """The operation that Klein finds."""
    app, routes = Klein(), select(listeners, dialect, FEATURES)
    bind(app, routes, {route.operation: lambda request: b"" for route in routes}, AllowAll())
    endpoint, _ = app.url_map.bind("localhost").match(path, method)
    assert isinstance(endpoint, str)
    return endpoint


class TableTests(TestCase):
    """The rows."""

    def test_every_row_of_the_references(self) -> None:
        access = {route.operation: route.access for route in ROUTES}
        for listener, method, path, operation, kind, dialects in ROWS:
            for dialect in dialects:
                with self.subTest(path=path, dialect=dialect):
                    self.assertEqual(operation_at((listener,), dialect, method, path), operation)
            self.assertEqual(access[operation], kind)

    def test_every_route_is_in_a_row(self) -> None:
        self.assertEqual(
            {route.operation for route in ROUTES}, {operation for _, _, _, operation, _, _ in ROWS}
        )

    def test_every_row_says_all_about_itself(self) -> None:
        for route in ROUTES:
            with self.subTest(route=route.operation):
                self.assertTrue(route.description.endswith("."))
                self.assertTrue(route.methods and route.listeners and route.dialects)
                self.assertTrue(route.answers or not route.documented)
                for parameter in route.parameters:
                    self.assertTrue(parameter.description, parameter.name)

    def test_what_is_open_is_meant_to_be(self) -> None:
        self.assertEqual(
            {route.operation for route in ROUTES if route.access is Access.OPEN},
            {"apiDescription", "api-description", "live", "ready", "metrics", "metrics_below"}
            | {"dashboardHome", "dashboard", "dashboardAsset"},
        )

    def test_one_listener_for_all_serves_every_row(self) -> None:
        for _, method, path, operation, _, dialects in ROWS:
            for dialect in dialects:
                with self.subTest(path=path, dialect=dialect):
                    self.assertEqual(operation_at(tuple(ListenerRole), dialect, method, path), operation)

    def test_features_are_off_unless_they_are_on(self) -> None:
        operations = {route.operation for route in select(set(ListenerRole), "torchserve")}
        for operation in (
            "registerModel",
            "unregisterModel",
            "registerWorkflow",
            "token",
            "kserve_v2_server",
            "dashboard",
        ):
            self.assertNotIn(operation, operations)
        self.assertIn("kserve_v2_infer", operations)

    def test_a_route_without_a_handler_is_an_error(self) -> None:
        self.assertRaises(LookupError, bind, Klein(), ROUTES, {}, AllowAll())

    def test_klein_paths(self) -> None:
        self.assertEqual(klein_path("/a/{b}/{rest}"), "/a/<b>/<path:rest>")


PEERS = {
    ("torchserve", INFERENCE): 23406,
    ("torchserve", MANAGEMENT): 60471,
    ("torchserve", ListenerRole.METRICS): 2552,
    ("mms", INFERENCE): 24572,
    ("mms", MANAGEMENT): 31463,
}
"""Bytes of the answers to ``OPTIONS /`` of TorchServe 0.12.0 and MMS 1.1.11."""
PEERS_OF_A_MODEL = {
    ("torchserve", INFERENCE): 3637,
    ("torchserve", MANAGEMENT): 41879,
    ("mms", INFERENCE): 1283,
}
"""Bytes of the answers to ``OPTIONS`` on the routes of a model."""
LARGEST_RATIO = 1.5


def operations_of(described: Any) -> set[str]:
    """Methods and paths, as one text each."""
    return {
        f"{method.upper()} {path}" for path, operations in described["paths"].items() for method in operations
    }


class DocumentTests(TestCase):
    """The documents."""

    def test_they_are_valid(self) -> None:
        for listeners, dialect in product(LISTENERS, DIALECTS):
            with self.subTest(listeners=listeners, dialect=dialect):
                validate(document(select(listeners, dialect, FEATURES), dialect))

    def test_those_of_a_model_are_valid(self) -> None:
        for listener in (MANAGEMENT, INFERENCE):
            descriptions = Descriptions(select(tuple(ListenerRole), "torchserve", FEATURES), "torchserve")
            described: Any = json.loads(descriptions.of_model("m", listener))
            validate(described)
            self.assertTrue(described["info"]["title"].endswith(" API for: m"))
            self.assertEqual("/predictions/m" in described["paths"], listener is INFERENCE)
            self.assertEqual("/models/m" in described["paths"], listener is MANAGEMENT)
            self.assertNotIn("{model_name}", str(described))

    def test_names_are_written_so_that_clients_can_use_them(self) -> None:
        descriptions = Descriptions(select((INFERENCE,), "torchserve"), "torchserve")
        for name in ('a "quoted" \\ name', "modèle", "a+b", "{title_name}", "{model_name}"):
            with self.subTest(name):
                described: Any = json.loads(descriptions.of_model(name, INFERENCE))
                self.assertEqual(described["info"]["title"], f"RESTful API for: {name}")
                self.assertIn(f"/predictions/{quote(name, safe='')}", described["paths"])

    def test_they_list_what_the_peers_documents_list(self) -> None:
        described = document(select((INFERENCE,), "torchserve", FEATURES), "torchserve")
        self.assertEqual(
            operations_of(described),
            {
                "OPTIONS /",
                "GET /api-description",
                "GET /ping",
                "POST /predictions/{model_name}",
                "POST /predictions/{model_name}/{model_version}",
                "POST /explanations/{model_name}",
                "POST /v1/models/{model_name}:predict",
                "POST /v1/models/{model_name}:explain",
                "POST /v2/models/{model_name}/infer",
                "POST /v2/models/{model_name}/explain",
                "POST /wfpredict/{workflow_name}",  # of which TorchServe's own says nothing
            },
        )
        described = document(select((INFERENCE,), "mms", FEATURES), "mms")
        self.assertEqual(
            operations_of(described),
            {
                "OPTIONS /",
                "GET /api-description",
                "GET /ping",
                "POST /predictions/{model_name}",
                "OPTIONS /predictions/{model_name}",
                "POST /{model_name}/predict",
                "POST /invocations",
                "POST /models/{model_name}/invoke",
            },
        )

    def test_they_are_not_much_larger_than_the_peers(self) -> None:
        for (dialect, listener), size in PEERS.items():
            descriptions = Descriptions(select((listener,), dialect, FEATURES), dialect)
            self.assertLess(len(descriptions.of_listener()), LARGEST_RATIO * size, (dialect, listener))
        for (dialect, listener), size in PEERS_OF_A_MODEL.items():
            descriptions = Descriptions(select((listener,), dialect, FEATURES), dialect)
            self.assertLess(len(descriptions.of_model("echo", listener)), LARGEST_RATIO * size)

    def test_they_are_built_once(self) -> None:
        routes = select((INFERENCE,), "torchserve")
        descriptions = Descriptions(routes, "torchserve")
        first = descriptions.of_listener()
        self.assertIs(descriptions.of_listener(), first)
        self.assertEqual(json.loads(first), document(routes, "torchserve"))

    def test_bodies_and_answers_name_types_that_generators_know(self) -> None:
        for dialect in DIALECTS:
            components: Any = document(select((INFERENCE,), dialect), dialect)["components"]
            inputs = components["requestBodies"]["Inputs"]["content"]
            self.assertEqual(list(inputs), ["application/json", "application/octet-stream", "*/*"])
            answer = components["responses"]["Prediction200"]["content"]
            self.assertEqual(list(answer), ["application/octet-stream", "*/*"])

    def test_operation_ids_are_the_peers_and_unique(self) -> None:
        for listeners, dialect in product(LISTENERS, DIALECTS):
            described: Any = document(select(listeners, dialect, FEATURES), dialect)
            ids = [
                operation["operationId"]
                for operations in described["paths"].values()
                for operation in operations.values()
            ]
            self.assertEqual(len(ids), len(set(ids)))
        described = document(select((MANAGEMENT,), "torchserve", FEATURES), "torchserve")
        for path, method, operation in (
            ("/", "options", "apiDescription"),
            ("/models", "get", "listModels"),
            ("/models", "post", "registerModel"),
            ("/models/{model_name}", "get", "describeModel"),
            ("/models/{model_name}", "put", "setAutoScale"),
            ("/models/{model_name}", "delete", "unregisterModel"),
            ("/models/{model_name}/{model_version}", "get", "version_describeModel"),
            ("/models/{model_name}/{model_version}", "put", "version_setAutoScale"),
            ("/models/{model_name}/{model_version}", "delete", "version_unregisterModel"),
            ("/models/{model_name}/{model_version}/set-default", "put", "setDefault"),
            ("/api-description", "get", "api-description"),
        ):
            self.assertEqual(described["paths"][path][method]["operationId"], operation)
        self.assertTrue(described["paths"]["/api-description"]["get"]["deprecated"])

    def test_register_has_the_parameters_of_its_dialect(self) -> None:
        for dialect, present, absent in (
            ("torchserve", "startup_timeout", "preload_model"),
            ("mms", "preload_model", "startup_timeout"),
        ):
            described: Any = document(select((MANAGEMENT,), dialect, FEATURES), dialect)
            operation, components = described["paths"]["/models"]["post"], described["components"]
            references = [parameter["$ref"].rpartition("/")[2] for parameter in operation["parameters"]]
            names = {components["parameters"][reference]["name"] for reference in references}
            self.assertIn(present, names)
            self.assertNotIn(absent, names)
            self.assertIn("sha256", names)
            self.assertNotIn("requestBody", operation)

    def test_codes_are_those_of_the_dialect(self) -> None:
        for dialect, present, absent in (("torchserve", "206", "210"), ("mms", "210", "206")):
            described: Any = document(select((MANAGEMENT,), dialect, FEATURES), dialect)
            codes = described["paths"]["/models/{model_name}"]["put"]["responses"]
            self.assertIn(present, codes)
            self.assertNotIn(absent, codes)
