"""Every route of both dialects, asked by pages of other origins; the routes come from the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from modelserver.dialect_rules import DIALECTS
from modelserver.interfaces import Reply
from modelserver.rest.api import Api
from modelserver.rest.dialects.mms import MultiModelServer
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.metrics_routes import METRICS_ROUTES
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import (
    DASHBOARD,
    MODEL_CONTROL,
    OPEN_INFERENCE,
    TOKENS,
    WORKFLOW_CONTROL,
    Access,
    ListenerRole,
    Route,
)
from modelserver.rest.routes import ROUTES, select
from modelserver.security.authorization import AllowAll
from modelserver.security.page_guard import PageGuard
from tests.rest.test_access import path_of

CHANGES = {
    "registerModel": {"POST"},
    "setAutoScale": {"PUT"},
    "unregisterModel": {"DELETE"},
    "version_setAutoScale": {"PUT"},
    "version_unregisterModel": {"DELETE"},
    "setDefault": {"PUT"},
    "repositoryLoad": {"POST"},
    "repositoryUnload": {"POST"},
    "registerWorkflow": {"POST"},
    "unregisterWorkflow": {"DELETE"},
    "version_unregisterWorkflow": {"DELETE"},
    "setDefaultWorkflow": {"PUT"},
    "token": {"POST", "PUT", "DELETE", "PATCH"},
    "dashboardPrediction": {"POST"},
}
"""The operations that change the server, and by which methods."""
PRIVATE = {
    "dashboardStream": {"GET"},
    "dashboardStore": {"GET"},
    "dashboardConfiguration": {"GET"},
    "dashboardVersion": {"GET"},
}
"""The operations that pages of other origins may not even read."""
GUARDED = {**CHANGES, **PRIVATE}
FEATURES = (MODEL_CONTROL, OPEN_INFERENCE, TOKENS, WORKFLOW_CONTROL, DASHBOARD)
OWN: tuple[Mapping[str, str], ...] = (
    {},
    {"host": "localhost:8081", "origin": "http://localhost:8081", "sec-fetch-site": "same-origin"},
    {"host": "allowed.example"},
    {"origin": "https://allowed.example"},
)
FOREIGN: tuple[Mapping[str, str], ...] = (
    {"origin": "http://evil.example", "sec-fetch-site": "cross-site"},
    {"origin": "null"},
    {"origin": "http://localhost:3000", "sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site"},
    {"host": "evil.example"},
    {"host": "evil.example", "origin": "http://evil.example", "sec-fetch-site": "same-origin"},
)
FORM = {"content-type": "application/x-www-form-urlencoded"}


class PolicyTests(SynchronousTestCase):
    """Which rows change the server."""

    def test_rows_that_change_the_server(self) -> None:
        for route in (*ROUTES, *METRICS_ROUTES):
            with self.subTest(route.operation):
                changing = {method for method in route.methods if route.changes_server(method)}
                self.assertEqual(changing, CHANGES.get(route.operation, set()))
                guarded = {method for method in route.methods if route.is_guarded(method)}
                self.assertEqual(guarded, GUARDED.get(route.operation, set()))

    def test_a_new_row_is_guarded_unless_it_says_that_it_need_not_be(self) -> None:
        row = Route(
            "new", ("POST", "GET"), "/new", frozenset({ListenerRole.MANAGEMENT}), Access.MANAGEMENT, "", {}
        )
        self.assertEqual(
            [row.changes_server(method) for method in ("POST", "GET", "LINK")], [True, False, True]
        )


class MatrixTests(SynchronousTestCase):
    """One port for everything, as a shared listener has it."""

    def setUp(self) -> None:
        self.asked: list[str] = []

    def test_every_route_and_page_in_both_dialects(self) -> None:
        refused = set()
        for dialect in DIALECTS:
            client = self.serve(dialect)
            for route in select(tuple(ListenerRole), dialect, FEATURES):
                for method in route.methods:
                    is_guarded = method in GUARDED.get(route.operation, ())
                    for headers in (*OWN, *FOREIGN):
                        with self.subTest(dialect=dialect, route=route.operation, method=method, **headers):
                            is_refused = is_guarded and headers in FOREIGN
                            self.check(client, route, method, headers, is_refused)
                            if is_refused:
                                refused.add((dialect, route.operation))
        self.assertEqual({name for _, name in refused}, set(GUARDED))
        # Of MMS: register, scale, unregister, and what is the dashboard's.
        self.assertEqual(len(refused), len(GUARDED) + 3 + len(PRIVATE) + 1)

    def check(
        self, client: Any, route: Route, method: str, headers: Mapping[str, str], is_refused: bool
    ) -> None:
        self.asked.clear()
        begun = client.request(
            method, f"http://localhost{path_of(route)}", headers={**FORM, **headers}, data=b"url=x.mar"
        )
        client.flush()
        response = self.successResultOf(begun)
        body = self.successResultOf(client.content(response))
        if is_refused:
            self.assertEqual((response.code, self.asked), (403, []))
            error = json.loads(body)
            self.assertEqual((error["code"], error["type"]), (403, "ForbiddenException"))
            self.assertIn("allowed_hosts", error["message"])
        else:
            self.assertEqual((response.code, self.asked), (200, [route.operation]))

    def serve(self, dialect: str) -> Any:
        responder = KleinResponder(MultiModelServer() if dialect == "mms" else TorchServe(), lambda: "id")
        routes = select(tuple(ListenerRole), dialect, FEATURES)

        def answers(operation: str) -> Any:
            def answer(request: Request, **variables: str) -> bytes:
                self.asked.append(operation)
                return responder.render(request, Reply(200, b"{}"))

            return answer

        operations = {route.operation: answers(route.operation) for route in routes}
        guard = PageGuard({"allowed.example"})
        api = Api(Descriptions(routes, dialect), operations, AllowAll(), responder, pages=guard)
        return StubTreq(api.resource())
