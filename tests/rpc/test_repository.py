"""The model store as a repository, over gRPC."""

from __future__ import annotations

from typing import Any

from modelserver.protocol.wire_format import text_field
from modelserver.rpc.codes import Code
from modelserver.rpc.methods import REPOSITORY, methods_of
from modelserver.rpc.site import SiteRules
from tests.harness.rpc_messages import messages
from tests.harness.rpc_services import OIP, RpcCase

TORCHSERVE = "org.pytorch.serve.grpc.openinference"


class RepositoryCase(RpcCase):
    """Calls by both names of the service."""

    def setUp(self) -> None:
        super().setUp()
        self.on.add_model("noop.mar", "noop")

    def ask(self, method: str, *requests: Any, package: str = "inference", **fields: Any) -> Any:
        """Make a call, and let workers load."""
        asked = requests or (messages().type_of(f"{package}.{method}Request")(**fields),)
        call = self.call(f"{package}.GRPCInferenceService/{method}", *asked)
        if call.status is None:
            self.on.load_all()
        return call

    def index(self, **fields: Any) -> list[tuple[str, str, str, str]]:
        answer = self.answer(self.ask("RepositoryIndex", **fields), "oip.RepositoryIndexResponse")
        return [(each.name, each.version, each.state, each.reason) for each in answer.models]


class RepositoryTests(RepositoryCase):
    """The three methods."""

    def test_load_and_unload(self) -> None:
        idle = ("noop", "", "UNAVAILABLE", "unloaded")
        for package in ("inference", TORCHSERVE):
            self.assertEqual([idle], self.index())
            self.assertEqual([], self.index(ready=True))
            call = self.ask("RepositoryModelLoad", model_name="noop", package=package)
            loaded = self.answer(call, "oip.RepositoryModelLoadResponse")
            self.assertEqual(("noop", True), (loaded.model_name, loaded.isLoaded))
            self.assertEqual([("noop", "1.0", "READY", "")], self.index(ready=True))
            call = self.ask("RepositoryModelUnload", model_name="noop", package=package)
            unloaded = self.answer(call, "oip.RepositoryModelUnloadResponse")
            self.assertEqual(("noop", True), (unloaded.model_name, unloaded.isUnloaded))
        self.assertEqual([idle], self.index())

    def test_kserves_messages_have_the_name_elsewhere(self) -> None:
        call = self.ask("RepositoryModelLoad", text_field(1, "noop"))
        self.assertTrue(self.answer(call, "oip.RepositoryModelLoadResponse").isLoaded)
        self.assertTrue(self.on.registry.has("noop"))

    def test_refusals(self) -> None:
        for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
            code, lines = self.told(self.ask(method, model_name="nothing"))
            self.assertEqual(("NOT_FOUND", "Model not found: nothing"), (code, lines[0]))
            self.assertNotEqual("OK", self.told(self.ask(method))[0])
        asked = messages().type_of("inference.RepositoryModelLoadRequest")(model_name="noop")
        asked.parameters["config"].string_param = "{}"
        _, lines = self.told(self.ask("RepositoryModelLoad", asked))
        self.assertIn("config is not supported", lines[0])
        self.assertFalse(self.on.registry.has("noop"))


class ListenerTests(RepositoryCase):
    """Where an operator has not asked for it."""

    rules = SiteRules(repository_at_inference=False)

    def test_it_is_at_the_management_listener_alone(self) -> None:
        for row in methods_of("inference"):
            at = {side for side, site in self.sites.items() if site.find(row.path.encode())}
            wanted = {"management"} if row.method in REPOSITORY else set(row.sides)
            self.assertEqual(wanted, at, row.path)
        call = self.ask("RepositoryIndex")
        assert call.status is not None
        self.assertEqual(Code.UNIMPLEMENTED, call.status.code)


class HiddenTests(RepositoryCase):
    """Where the protocol is not served."""

    rules = SiteRules(has_open_inference=False)

    def test_it_is_nowhere(self) -> None:
        for site in self.sites.values():
            self.assertIsNone(site.find(f"/{OIP}/RepositoryIndex".encode()))
