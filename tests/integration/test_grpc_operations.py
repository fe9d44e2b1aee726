"""gRPC as a part of the server: TLS, tokens, addresses, the log, metrics, and the end."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import trustme

from tests.harness.rpc_stubs import has_grpcio, own_api, stub
from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually

if has_grpcio():
    import grpc

    from modelserver.rpc.messages import Messages

pytestmark = [
    pytest.mark.xdist_group("grpc-operations"),
    pytest.mark.skipif(not has_grpcio(), reason="grpcio is not installed"),
]

WAIT = """
import time
def handle(data, context):
    if data is None:
        return None
    time.sleep(float(bytes(data[0]["data"]) or b"0"))
    return [bytes(row["data"]) for row in data]
"""
OPEN = {
    "enable_model_api": "true",
    "disable_token_authorization": "true",
    "default_workers_per_model": "1",
    "load_models": "all",
}


class GrpcCase(ServerTests):
    """A server with a model that waits, and stubs."""

    def setUp(self) -> None:
        self.api = own_api()
        self.messages = Messages.load()

    def serve(self, **properties: str) -> ServerProcess:
        server = self.start({**OPEN, **properties}, models={"wait": WAIT}, has_rpc=True)
        eventually(lambda: "Model wait version 1.0 is ready." in server.log)
        return server

    def channel(self, target: str, credentials: Any = None) -> Any:
        if credentials is None:
            channel = grpc.insecure_channel(target)
        else:
            channel = grpc.secure_channel(target, credentials)
        self.addCleanup(channel.close)
        return channel

    def connect(self, server: ServerProcess, side: int = 0, credentials: Any = None) -> Any:
        return self.channel(f"{HOST}:{server.rpc_ports[side]}", credentials)

    def predict(self, channel: Any, data: bytes = b"0", **more: Any) -> bytes:
        request = self.api.request("wait", data=data)
        answer: bytes = self.api.inference(channel).Predictions(request, timeout=LONGEST, **more).prediction
        return answer

    def code_of(self, call: Callable[[], object]) -> str:
        """The code of an error."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error: Any = caught.exception
        return str(error.code().name)


class AddressTests(GrpcCase):
    """Where it listens."""

    def test_a_socket_of_unix_and_a_port_of_the_systems_choice(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-unix-")
        self.addCleanup(folder.cleanup)
        path = f"{folder.name}/grpc"
        server = self.serve(grpc_inference_address=f"unix:{path}", grpc_management_port="0")
        self.assertEqual(self.predict(self.channel(f"unix:{path}")), b"0")
        port = re.search(r"Listening on grpc://127\.0\.0\.1:(\d+)", server.log)
        assert port is not None, server.log
        listed = self.api.management(self.channel(f"{HOST}:{port[1]}")).ListModels(
            self.api.message("ListModelsRequest")(), timeout=LONGEST
        )
        self.assertIn('"wait"', listed.msg)
        server.end()
        self.assertFalse(Path(path).exists())

    def test_a_port_in_use_ends_the_start_with_the_address(self) -> None:
        first = self.serve()
        port = first.rpc_ports[0]
        with self.assertRaisesRegex(AssertionError, rf":{port}: Address already in use"):
            self.start({**OPEN, "grpc_inference_port": str(port)})

    def test_an_old_connection_is_replaced_without_an_error(self) -> None:
        server = self.serve(
            grpc_inference_max_connection_age_ms="200", grpc_inference_max_connection_age_grace_ms="5000"
        )
        channel = self.connect(server)
        peers = set()

        def aged() -> bool:
            self.predict(channel)
            found = re.findall(r"/127\.0\.0\.1:(\d+) \"gRPC", access_lines(server))
            peers.update(found)
            return len(peers) > 1

        eventually(aged)


class SecurityTests(GrpcCase):
    """TLS with the certificate of https addresses, and keys."""

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", HOST)

    def secure(self) -> ServerProcess:
        folder = TemporaryDirectory(prefix="modelserver-tls-test-")
        self.addCleanup(folder.cleanup)
        key, chain = Path(folder.name) / "key.pem", Path(folder.name) / "chain.pem"
        self.issued.private_key_pem.write_to_path(key)
        for pem in self.issued.cert_chain_pems:
            pem.write_to_path(chain, append=True)
        return self.serve(
            enable_grpc_ssl="true",
            private_key_file=str(key),
            certificate_file=str(chain),
            disable_token_authorization="false",
        )

    def test_tls_and_tokens(self) -> None:
        server = self.secure()
        trusted = grpc.ssl_channel_credentials(self.authority.cert_pem.bytes())
        inference, management = (self.connect(server, side, trusted) for side in (0, 1))
        keys = server.keys()
        listing = self.api.management(management).ListModels
        request = self.api.message("ListModelsRequest")()
        for name, predicts, manages in (
            ("inference", True, False),
            ("management", False, True),
            ("API", False, False),
            ("", False, False),
        ):
            sent = [("authorization", f"Bearer {keys[name]['key']}")] if name else []
            with self.subTest(name):
                if predicts:
                    self.assertEqual(self.predict(inference, metadata=sent), b"0")
                else:
                    code = self.code_of(lambda sent=sent: self.predict(inference, metadata=sent))  # type: ignore[misc]  # it has defaults
                    self.assertEqual(code, "PERMISSION_DENIED")
                if manages:
                    listing(request, metadata=sent, timeout=LONGEST)
                else:
                    code = self.code_of(
                        lambda sent=sent: listing(request, metadata=sent, timeout=LONGEST)  # type: ignore[misc]  # as above
                    )
                    self.assertEqual(code, "PERMISSION_DENIED")

    def test_who_does_not_trust_or_speaks_no_tls_gets_nowhere(self) -> None:
        server = self.secure()
        other = grpc.ssl_channel_credentials(trustme.CA().cert_pem.bytes())
        for credentials in (other, None):
            channel = self.connect(server, 0, credentials)
            self.assertEqual(self.code_of(lambda: self.predict(channel)), "UNAVAILABLE")  # noqa: B023  # called at once


class StandardServiceTests(GrpcCase):
    """Health and reflection, as probes and tools ask for them, by stubs."""

    def test_health_as_probes_check_it(self) -> None:
        server = self.serve()
        kind = self.messages.type_of("grpc.health.v1.HealthCheckRequest")
        for side, service in (
            (0, "org.pytorch.serve.grpc.inference.InferenceAPIsService"),
            (0, "inference.GRPCInferenceService"),
            (1, "org.pytorch.serve.grpc.management.ManagementAPIsService"),
        ):
            health = stub(self.connect(server, side), self.messages, "grpc.health.v1.Health")
            for name in ("", service, "wait"):
                self.assertEqual(health.Check(kind(service=name), timeout=LONGEST).status, 1, name)
            self.assertEqual(
                self.code_of(lambda: health.Check(kind(service="nope"), timeout=LONGEST)),  # noqa: B023  # called at once
                "NOT_FOUND",
            )

    def test_reflection_lists_and_describes_services(self) -> None:
        server = self.serve()
        services = (
            "org.pytorch.serve.grpc.inference.InferenceAPIsService",
            "org.pytorch.serve.grpc.management.ManagementAPIsService",
        )
        for side, service in enumerate(services):
            channel = self.connect(server, side)
            for package in ("grpc.reflection.v1", "grpc.reflection.v1alpha"):
                kind = self.messages.type_of(f"{package}.ServerReflectionRequest")
                ask = stub(channel, self.messages, f"{package}.ServerReflection").ServerReflectionInfo
                asked = [kind(list_services=""), kind(file_containing_symbol=service)]
                listed, described = ask(iter(asked), timeout=LONGEST)
                names = [each.name for each in listed.list_services_response.service]
                self.assertIn(service, names)
                self.assertNotIn(services[1 - side], names)
                files = described.file_descriptor_response.file_descriptor_proto
                self.assertTrue(any(service.rpartition(".")[2].encode() in file for file in files))


class RecordTests(GrpcCase):
    """What is written down."""

    def test_the_access_log_and_the_metrics(self) -> None:
        server = self.serve(metrics_mode="prometheus")
        channel = self.connect(server)
        self.predict(channel)
        nothing = self.api.request("nope", data=b"")
        self.code_of(lambda: self.api.inference(channel).Predictions(nothing, timeout=LONGEST))
        service = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
        for line in (
            rf'- /127\.0\.0\.1:\d+ "gRPC {service}/Predictions HTTP/2\.0" 0 \d+$',
            rf'- /127\.0\.0\.1:\d+ "gRPC {service}/Predictions HTTP/2\.0" 13 \d+$',
        ):
            eventually(lambda line=line: re.search(line, access_lines(server), re.MULTILINE))  # type: ignore[misc]  # it has defaults
        scraped = server.scrape()
        for sample in (
            rf'modelserver_grpc_calls_total\{{method="{service}/Predictions",code="OK",\}} 1\.0',
            rf'modelserver_grpc_calls_total\{{method="{service}/Predictions",code="INTERNAL",\}} 1\.0',
            rf'modelserver_grpc_call_seconds_count\{{method="{service}/Predictions",\}} 2\.0',
            rf'modelserver_grpc_received_bytes_total\{{method="{service}/Predictions",\}} [1-9]\d*\.0',
            r'ts_inference_requests_total\{model_name="wait",model_version="default",.*\} 1\.0',
        ):
            self.assertRegex(scraped, sample)


class EndTests(GrpcCase):
    """A stop, and workers that die."""

    def test_a_stop_answers_what_was_asked(self) -> None:
        server = self.serve(drain_timeout="30")
        channel = self.connect(server)
        health = stub(channel, self.messages, "grpc.health.v1.Health")
        request = self.messages.type_of("grpc.health.v1.HealthCheckRequest")(service="wait")
        watched = health.Watch(request, timeout=LONGEST)
        self.assertEqual(next(watched).status, 1)
        call = self.api.inference(channel).Predictions.future(
            self.api.request("wait", data=b"1.0"), timeout=LONGEST
        )
        eventually(lambda: "1" in in_flight(server))
        server.process.send_signal(signal.SIGTERM)
        self.assertEqual(next(watched).status, 2)
        self.assertEqual(call.result(LONGEST).prediction, b"1.0")
        self.assertEqual(server.process.wait(LONGEST), -signal.SIGTERM)  # as twistd ends by a signal
        self.assertEqual(self.code_of(lambda: self.predict(channel)), "UNAVAILABLE")

    def test_no_call_is_lost_with_its_worker(self) -> None:
        server = self.serve(default_workers_per_model="2")
        channel = self.connect(server)
        stop, failed = threading.Event(), []

        def ask() -> None:
            while not stop.is_set():
                try:
                    self.predict(channel, b"0.01")
                except grpc.RpcError as error:
                    failed.append(str(error))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            eventually(lambda: server.ready("wait") == 2)
            self.kill_worker(server.pids("wait")[0])
        stop.set()
        for thread in threads:
            thread.join(LONGEST)
        self.assertEqual(failed, [])


def access_lines(server: ServerProcess) -> str:
    """The access log so far."""
    return (server.folder / "logs" / "access_log.log").read_text("utf-8")


def in_flight(server: ServerProcess) -> str:
    """How many requests workers have in hand."""
    found = re.search(r"modelserver_in_flight_requests\{.*\} (\d+)\.0", server.scrape())
    return found[1] if found else ""
