"""Every method, on every listener, with every credential: made of the table, so that no row is forgotten."""

from __future__ import annotations

from modelserver.rpc.codes import Code
from modelserver.rpc.methods import METHODS, SIDES, MethodRow, methods_of
from modelserver.rpc.site import MODEL_API_DISABLED, Site, SiteRules
from modelserver.rpc.status import Statuses
from modelserver.security.authorization import TokenAuthorizer
from modelserver.testing.rpc_calls import MemoryCall
from tests.harness.rpc_messages import messages
from tests.harness.rpc_services import RpcCase, make_call
from tests.rest.test_access import HOUR, TokensCase

OPEN = {
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
}
"""The services that need no key; everything else needs one."""
KEY_OF: dict[tuple[str, ...], str] = {
    ("inference",): "inference",
    ("management",): "management",
    # Who may predict may not manage, wherever it is.
    SIDES: "management",
}
REFUSED = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"


def policy(row: MethodRow) -> str | None:
    """
    The key that a method must ask for, or None.

    :raises KeyError: nothing says which one.
    """
    return None if row.service in OPEN else KEY_OF[row.sides]


def odd_paths(path: str) -> list[str]:
    """Paths that mean no method, and that a careless comparison could take for one."""
    service, method = path[1:].split("/")
    return [
        path[1:],
        f"/{path}",
        f"{path}/",
        f"{path}?",
        f"{path} ",
        f"{path}\0",
        path.upper(),
        path.replace("/", "%2F"),
        f"/x/..{path}",
        f"/{service}./{method}",
        f"/{service}",
        "",
        "/",
    ]


class PolicyTests(RpcCase):
    """Every row says who may use it, and is served."""

    def test_every_method_has_a_policy(self) -> None:
        for row in METHODS:
            with self.subTest(row.path):
                self.assertEqual(row.key_kind, policy(row))

    def test_only_registrations_are_the_model_apis(self) -> None:
        found = [row.method for row in METHODS if row.registers]
        repository = ["RepositoryModelLoad", "RepositoryModelUnload"]
        self.assertEqual(found, [*repository, *repository, "RegisterModel", "UnregisterModel"])

    def test_every_method_of_every_service_has_a_row_that_says_what_it_is(self) -> None:
        for name in dict.fromkeys(row.service for row in METHODS):
            described = {
                (each.name, each.client_streaming, each.server_streaming)
                for each in messages().service(name).methods
            }
            rows = {(row.method, row.streams_in, row.streams_out) for row in METHODS if row.service == name}
            with self.subTest(name):
                self.assertEqual(rows, described)

    def test_methods_stream_in_where_their_rows_say_so(self) -> None:
        for side in SIDES:
            for row in methods_of(side):
                method = self.sites[side].find(row.path.encode())
                assert method is not None
                self.assertEqual(method.streams_in, row.streams_in, row.path)

    def test_row_without_a_method_is_noticed(self) -> None:
        site = self.sites["inference"]
        with self.assertRaises(LookupError):
            Site(
                methods={},
                rows=site.rows,
                gate=site.gate,
                new_id=site.new_id,
                statuses=Statuses(self.dialect),
                rules=self.rules,
                calls=self.ended,
                log=self.defects.append,
            )


class MatrixTests(TokensCase, RpcCase):
    """Calls with tokens in use."""

    def setUp(self) -> None:
        TokensCase.setUp(self)
        clock = self.clock
        self.gate = TokenAuthorizer(self.tokens)
        RpcCase.setUp(self)
        self.clock = clock

    def refused(self, site: Site, path: str, header: bytes | None) -> bool | None:
        """Whether a call was refused for its token; None: there is no such method."""
        call = MemoryCall(metadata=[] if header is None else [("authorization", header.decode())])
        make_call(site, path, b"", call=call)
        if call.status is None:
            return False
        if call.status.code is not Code.UNIMPLEMENTED:
            self.assertTrue(call.request_id)
        if call.status.code is Code.UNIMPLEMENTED:
            self.assertEqual(call.messages, [])
            return None
        if call.status.code is Code.PERMISSION_DENIED:
            self.assertEqual((call.status.message, call.messages), (REFUSED, []))
            return True
        return False

    def test_every_method_listener_and_credential(self) -> None:
        cells = 0
        for side in SIDES:
            for row in METHODS:
                for what, header in self.credentials():
                    cells += 1
                    with self.subTest(side=side, method=row.path, with_=what):
                        wanted: bool | None = policy(row) is not None and what != policy(row)
                        if side not in row.sides:
                            wanted = None
                        self.assertEqual(self.refused(self.sites[side], row.path, header), wanted)
        self.assertGreater(cells, 400)

    def test_no_other_way_to_write_a_path_means_a_method(self) -> None:
        for side in SIDES:
            site = self.sites[side]
            known = {row.path for row in methods_of(side)}
            for row in METHODS:
                for path in odd_paths(row.path):
                    with self.subTest(path, side=side):
                        self.assertNotIn(path, known)
                        for _, header in self.credentials():
                            self.assertIsNone(self.refused(site, path, header))

    def test_token_that_is_too_old(self) -> None:
        header = self.tokens.keys["inference"].bearer
        path = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Ping"
        self.assertFalse(self.refused(self.sites["inference"], path, header))
        self.clock.advance(HOUR + 1)
        self.assertTrue(self.refused(self.sites["inference"], path, header))


class ModelApiTests(RpcCase):
    """With the model API off, models cannot be registered or unregistered."""

    rules = SiteRules(allows_registering=False)

    def test_refused_before_anything_is_looked_at(self) -> None:
        self.serve()
        for row in methods_of("management"):
            call = make_call(self.sites["management"], row.path, b"\x0a\x05x")
            found = None if call.status is None else call.status.message
            with self.subTest(row.path):
                self.assertEqual(found == MODEL_API_DISABLED, row.registers)
                if call.status is not None and row.registers:
                    self.assertEqual(call.status.code, Code.PERMISSION_DENIED)
        self.assertTrue(self.on.registry.has("m"))
