"""gRPC in other surroundings: another reactor, another dialect, and without what it needs."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trustme

from tests.harness.rpc_stubs import has_grpcio, own_api
from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually

if has_grpcio():
    import grpc

pytestmark = pytest.mark.xdist_group("grpc-places")

ECHO = """
def handle(data, context):
    return None if data is None else [bytes(row["data"]) for row in data]
"""
OPEN = {
    "enable_model_api": "true",
    "disable_token_authorization": "true",
    "default_workers_per_model": "1",
    "load_models": "all",
}
WITHOUT = (
    "import sys; sys.modules.update({'ngh2': None, 'h2': None}); "
    "from twisted.scripts.twistd import run; run()"
)
"""twistd where no HTTP/2 engine is installed."""


@pytest.mark.skipif(not has_grpcio(), reason="grpcio is not installed")
class PlacesTests(ServerTests):
    """Where gRPC is served."""

    def answers(self, server: ServerProcess, credentials: grpc.ChannelCredentials | None = None) -> None:
        """Ask both listeners, with a small message and with a large one."""
        api = own_api()
        channels = []
        for port in server.rpc_ports:
            target = f"{HOST}:{port}"
            secure = credentials is not None
            channel = grpc.secure_channel(target, credentials) if secure else grpc.insecure_channel(target)
            self.addCleanup(channel.close)
            channels.append(channel)
        eventually(lambda: "Model echo version 1.0 is ready." in server.log)
        for size in (3, 1_000_000):
            answer = api.inference(channels[0]).Predictions(
                api.request("echo", data=b"x" * size), timeout=LONGEST
            )
            self.assertEqual(answer.prediction, b"x" * size)
        listed = api.management(channels[1]).ListModels(api.message("ListModelsRequest")(), timeout=LONGEST)
        self.assertIn('"echo"', listed.msg)

    def test_on_twisteds_own_reactor(self) -> None:
        self.answers(self.start(OPEN, reactor="epoll", models={"echo": ECHO}, has_rpc=True))

    def test_on_twisteds_own_reactor_with_tls(self) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", HOST)
        with TemporaryDirectory(prefix="modelserver-tls-test-") as folder:
            key, chain = Path(folder) / "key.pem", Path(folder) / "chain.pem"
            issued.private_key_pem.write_to_path(key)
            for pem in issued.cert_chain_pems:
                pem.write_to_path(chain, append=True)
            secure = {"enable_grpc_ssl": "true", "private_key_file": str(key), "certificate_file": str(chain)}
            server = self.start({**OPEN, **secure}, reactor="epoll", models={"echo": ECHO}, has_rpc=True)
            self.answers(server, grpc.ssl_channel_credentials(authority.cert_pem.bytes()))

    def test_in_the_dialect_of_multi_model_server(self) -> None:
        self.answers(self.start({**OPEN, "dialect": "mms"}, models={"echo": ECHO}, has_rpc=True))


class WithoutTests(ServerTests):
    """What gRPC needs is not installed."""

    def start_without(self, **properties: str) -> ServerProcess:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        server = ServerProcess(Path(folder.name), {**OPEN, **properties}, program=("-c", WITHOUT))
        self.addCleanup(lambda: server.end() if hasattr(server, "process") else None)
        server.start()
        return server

    def test_a_server_of_defaults_says_so_once_and_serves(self) -> None:
        server = self.start_without(grpc_inference_port="", grpc_management_port="")
        self.assertEqual(server.log.count("gRPC is not served"), 1, server.log)
        self.assertIn("pip install 'modelserver[grpc]'", server.log)
        self.assertEqual(server.inference("GET", "/ping").status, 200)

    def test_a_server_that_is_asked_for_it_does_not_start(self) -> None:
        with self.assertRaisesRegex(AssertionError, r"modelserver: grpc_inference_port=0: .*pip install"):
            self.start_without(grpc_inference_port="0")
