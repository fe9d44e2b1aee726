"""Every route, on every listener, with every credential: made of the table, so that no row is forgotten."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import chain, combinations
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from attrs import define
from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from modelserver.core.registry import Registry
from modelserver.errors import AccessDenied
from modelserver.http1.head import parse_head
from modelserver.inference.load_status import LoadStatus
from modelserver.interfaces import Reply
from modelserver.rest.api import Api
from modelserver.rest.dialects.torchserve import TorchServe
from modelserver.rest.inference.front import InferenceEndpoint
from modelserver.rest.inference.traced import TracedEndpoint
from modelserver.rest.management.tokens import TokenApi
from modelserver.rest.metrics_routes import METRICS_ROUTES
from modelserver.rest.openapi import Descriptions
from modelserver.rest.reply import KleinResponder
from modelserver.rest.route import (
    CONTROL_AT_INFERENCE,
    DASHBOARD,
    MODEL_CONTROL,
    OPEN_INFERENCE,
    REPOSITORY_AT_INFERENCE,
    TOKENS,
    TORCHSERVE,
    WORKFLOW_CONTROL,
    ListenerRole,
    Route,
)
from modelserver.rest.routes import ROUTES, select
from modelserver.rest.tracing import HttpTracing
from modelserver.security.authorization import TokenAuthorizer
from modelserver.security.tokens import Tokens
from modelserver.testing.providers import CountingRecorder, Stage, make_spec
from modelserver.tracing.sampling import Sampler
from modelserver.tracing.tracer import SpanTracer
from modelserver.workflows.registry import WorkflowRegistry
from tests.harness.threads import at_once

START = 1_700_000_000.0
HOUR = 3600.0
OPEN = {"apiDescription", "api-description", "live", "ready", "metrics", "metrics_below"} | {
    "dashboardHome",
    "dashboard",
    "dashboardAsset",
}
"""The operations that need no key; everything else needs one."""

KEY_OF = {
    frozenset({ListenerRole.INFERENCE}): "inference",
    frozenset({ListenerRole.MANAGEMENT}): "management",
}
FEATURES = (
    *(MODEL_CONTROL, OPEN_INFERENCE, TOKENS, WORKFLOW_CONTROL, DASHBOARD),
    *(REPOSITORY_AT_INFERENCE, CONTROL_AT_INFERENCE),
)
LISTENERS: tuple[Collection[ListenerRole], ...] = tuple(
    chain.from_iterable(combinations(ListenerRole, size) for size in (1, 2, 3))
)


def policy(route: Route) -> str | None:
    """
    The key that a route must ask for, or None.

    :raises KeyError: nothing says which one.
    """
    if route.operation in OPEN:
        return None
    return "token" if route.operation == "token" else KEY_OF[route.listeners]


def path_of(route: Route) -> str:
    """A path that a route matches."""
    return re.sub(r"\{\w+\}", "x", route.path) + ("?type=inference" if route.operation == "token" else "")


class TokensCase(SynchronousTestCase):
    """Keys, and every credential that somebody may come with."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.clock = Clock()
        numbers = iter(range(1, 10_000))
        self.tokens = Tokens(
            Path(folder.name) / "key_file.json",
            None,
            HOUR,
            lambda: START + self.clock.seconds(),
            self.clock.seconds,
            lambda size: next(numbers).to_bytes(size, "big"),
            at_once,
        )
        self.tokens.start()

    def credentials(self) -> Iterator[tuple[str, bytes | None]]:
        """What it is, and the header."""
        yield "none", None
        yield "wrong", b"Bearer AAAAAAAAAAAAAAAAAAAAAA"
        for kind in ("inference", "management", "token"):
            yield kind, self.tokens.keys[kind].bearer
            yield f"{kind}, another scheme", b"Basic" + self.tokens.keys[kind].bearer[6:]


class PolicyTests(SynchronousTestCase):
    """Every row says who may use it."""

    def test_every_route_has_a_policy(self) -> None:
        for route in (*ROUTES, *METRICS_ROUTES):
            with self.subTest(route.operation):
                wanted = policy(route)
                self.assertEqual(route.access.value, wanted or "open")

    def test_a_row_that_nothing_is_said_of_is_noticed(self) -> None:
        row = next(route for route in ROUTES if route.operation == "apiDescription")
        self.assertRaises(KeyError, policy, Route("new", ("GET",), "/new", row.listeners, row.access, "", {}))


class MatrixTests(TokensCase):
    """Routes that Twisted Web reads."""

    def test_every_route_listener_and_credential(self) -> None:
        cells = 0
        for roles in LISTENERS:
            client = self.serve(roles)
            for route in select(roles, TORCHSERVE, FEATURES):
                for method in route.methods:
                    for what, header in self.credentials():
                        cells += 1
                        with self.subTest(roles=roles, route=route.operation, method=method, with_=what):
                            self.check(client, route, method, what, header)
        self.assertGreater(cells, 1000)

    def check(self, client: Any, route: Route, method: str, what: str, header: bytes | None) -> None:
        wanted = policy(route)
        headers = {} if header is None else {"authorization": header}
        begun = client.request(method, f"http://localhost{path_of(route)}", headers=headers)
        client.flush()
        response = self.successResultOf(begun)
        passes = wanted is None or what == wanted
        self.assertEqual(response.code, 200 if passes else 400)
        body = self.successResultOf(client.content(response))
        if not passes:
            self.assertIn(b"InvalidKeyException", body)
            self.assertIn(b"Authentication" if wanted == "token" else b"Authorization", body)

    def serve(self, roles: Collection[ListenerRole]) -> Any:
        responder = KleinResponder(TorchServe(), lambda: "id")

        def answer(request: Request, **variables: str) -> bytes:
            return responder.render(request, Reply(200, b"{}"))

        routes = select(roles, TORCHSERVE, FEATURES)
        handlers = {route.operation: answer for route in routes} | {"token": answer}
        return StubTreq(
            Api(
                Descriptions(routes, TORCHSERVE), handlers, TokenAuthorizer(self.tokens), responder
            ).resource()
        )


class PlainTests(TokensCase):
    """Requests that connections serve without Twisted Web."""

    is_traced = False

    def setUp(self) -> None:
        super().setUp()
        registry = Registry()
        registry.add(Stage().version(make_spec(loaded_at_startup=True)))
        make: Callable[..., InferenceEndpoint] = InferenceEndpoint
        if self.is_traced:
            sampler = Sampler("traceidratio", 1e-12, Random(1).getrandbits)
            tracer = SpanTracer(sampler, self.clock.seconds, self.clock.seconds, Random(1).getrandbits, list)
            make = partial(TracedEndpoint, tracing=HttpTracing(tracer, "http"))
        self.front = make(
            inference=FakeInference(),
            registry=registry,
            dialect=TorchServe(),
            recorder=CountingRecorder(),
            access_log=NoLog(),
            gate=TokenAuthorizer(self.tokens),
            clock=self.clock,
            entropy=bytes,
            workflows=FakeWorkflows(),
        )

    def test_every_route_and_credential(self) -> None:
        plain = set()
        for route in select({ListenerRole.INFERENCE}, TORCHSERVE, FEATURES):
            for method in route.methods:
                for what, header in self.credentials():
                    line = b"" if header is None else b"Authorization: %b\r\n" % header
                    start = f"{method} {path_of(route)} HTTP/1.1\r\nHost: x\r\n"
                    block = start.encode() + line + b"\r\n"
                    head = parse_head(block, len(block))
                    head.operation = self.front.classify(head)
                    if head.operation is None:
                        continue
                    plain.add(route.operation)
                    with self.subTest(route=route.operation, method=method, with_=what):
                        if what == "inference":
                            self.front.predict(head, b"", FakeObserver())  # type: ignore[arg-type]
                        else:
                            self.assertRaises(AccessDenied, self.front.predict, head, b"", FakeObserver())
        self.assertLess({"ping", "predictions", "version_predictions", "invoke", "invocations"}, plain)
        self.assertFalse({route.operation for route in ROUTES if policy(route) != "inference"} & plain)


class TracedPlainTests(PlainTests):
    """The same where requests are traced, though none of these is."""

    is_traced = True


class TokenRouteTests(TokensCase):
    """The route that renews keys."""

    def setUp(self) -> None:
        super().setUp()
        responder = KleinResponder(TorchServe(), lambda: "id")
        routes = tuple(route for route in ROUTES if route.operation == "token")
        api = Api(
            Descriptions(routes, TORCHSERVE),
            TokenApi(self.tokens, responder).operations(),
            TokenAuthorizer(self.tokens),
            responder,
        )
        self.client: Any = StubTreq(api.resource())

    def call(self, query: str, header: bytes | None = None, method: str = "GET") -> tuple[int, bytes]:
        headers = {"authorization": header or self.tokens.keys["token"].bearer}
        begun = self.client.request(method, f"http://localhost/token{query}", headers=headers)
        self.client.flush()
        response = self.successResultOf(begun)
        body: bytes = self.successResultOf(self.client.content(response))
        return response.code, body

    def test_renews_what_the_query_names_and_tells_nothing(self) -> None:
        for kind in ("inference", "management"):
            before = dict(self.tokens.keys)
            self.assertEqual(self.call(f"?type={kind}"), (200, b"\n"))
            after = self.tokens.keys
            self.assertEqual([each for each in after if after[each] != before[each]], [kind])

    def test_the_old_key_is_good_no_more(self) -> None:
        before = self.tokens.keys["inference"].bearer
        self.call("?type=inference")
        gate = TokenAuthorizer(self.tokens)
        self.assertRaises(AccessDenied, gate.check, "inference", before)
        gate.check("inference", self.tokens.keys["inference"].bearer)

    def test_any_method(self) -> None:
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            self.assertEqual(self.call("?type=inference", method=method)[0], 200, method)

    def test_a_query_that_names_no_key_is_refused(self) -> None:
        before = dict(self.tokens.keys)
        for query in ("", "?type=", "?type=token", "?type=API", "?type=%ff", "?kind=inference"):
            code, body = self.call(query)
            self.assertEqual(code, 400, query)
            self.assertIn(b"Token Authentication failed", body)
        self.assertEqual(self.tokens.keys, before)

    def test_an_expired_key_is_replaced_by_a_renewed_one(self) -> None:
        self.clock.advance(2 * HOUR)
        gate = TokenAuthorizer(self.tokens)
        self.assertRaises(AccessDenied, gate.check, "inference", self.tokens.keys["inference"].bearer)
        self.assertEqual(self.call("?type=inference")[0], 200)
        gate.check("inference", self.tokens.keys["inference"].bearer)


class FakeInference:
    """Takes every prediction."""

    def __init__(self) -> None:
        self.start_up = LoadStatus()

    def predict(self, *arguments: Any) -> object:
        """A job."""
        return object()


class FakeWorkflows(FakeInference):
    """Takes every request to a workflow."""

    registry = WorkflowRegistry()

    def has(self, name: str) -> bool:
        """What routes of models name is no workflow."""
        return False

    def version_named(self, name: str, segment: str | None) -> None:
        """No workflow has versions."""


@define
class FakeObserver:
    """Takes every reply."""

    def reply(self, value: Reply) -> None:
        """Take it."""


class NoLog:
    """Notes nothing."""

    def record(self, *arguments: Any) -> None:
        """Nothing."""
