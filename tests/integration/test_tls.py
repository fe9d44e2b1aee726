"""TLS on real sockets, of a real server."""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme

from tests.harness.installation import ECHO
from tests.harness.server_process import HOST, LONGEST, ServerTests, ask, eventually, free_ports


class TlsTests(ServerTests):
    """TLS on real sockets."""

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", HOST)

    def serve(self, **properties: str) -> Any:
        folder = TemporaryDirectory(prefix="modelserver-tls-test-")
        self.addCleanup(folder.cleanup)
        key, chain = Path(folder.name) / "key.pem", Path(folder.name) / "chain.pem"
        self.issued.private_key_pem.write_to_path(key)
        for pem in self.issued.cert_chain_pems:
            pem.write_to_path(chain, append=True)
        port, other = free_ports(2)
        secure = {
            "inference_address": f"https://{HOST}:{port}",
            "management_address": f"https://{HOST}:{other}",
            "private_key_file": str(key),
            "certificate_file": str(chain),
            "default_workers_per_model": "1",
        }
        server = self.start({**secure, **properties}, ("--models", "echo.mar"), models={"echo": ECHO})
        server.ports = [port, other, server.ports[2]]
        return server

    def ask(
        self, port: int, method: str, path: str, body: bytes | None = None, tls: ssl.SSLContext | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPSConnection(HOST, port, timeout=LONGEST, context=tls or self.client())
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def client(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def until_loaded(self, port: int) -> None:
        eventually(lambda: self.ask(port, "GET", "/health/ready")[0] == 200)

    def test_both_versions_of_tls_and_large_bodies(self) -> None:
        server = self.serve()
        self.until_loaded(server.ports[0])
        body = os.urandom(3_000_000)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            got = self.ask(server.ports[0], "POST", "/predictions/echo", body, self.client(version))
            self.assertEqual(got, (200, body), version)
        self.assertEqual(self.ask(server.ports[1], "GET", "/models")[0], 200)

    def test_plain_http_is_told_so(self) -> None:
        server = self.serve()
        for body in (None, b"x" * 1_000_000):
            answer = ask(server.ports[0], "POST", "/predictions/echo", body)
            self.assertEqual(answer.status, 403)
            told = {"status": "This TorchServe instance only accepts HTTPS requests"}
            self.assertEqual(answer.json(), told)

    def test_clients_that_say_nothing_or_rubbish_hold_nobody_up(self) -> None:
        server = self.serve()
        silent = [socket.create_connection((HOST, server.ports[0])) for _ in range(20)]
        for connection in silent:
            self.addCleanup(connection.close)
        with socket.create_connection((HOST, server.ports[0]), LONGEST) as rude:
            rude.sendall(b"\x16rubbish" * 100)
            while rude.recv(4096):
                pass
        self.assertEqual(self.ask(server.ports[0], "GET", "/ping")[0], 200)

    def test_without_a_certificate_one_is_made(self) -> None:
        server = self.serve(private_key_file="", certificate_file="")
        trusting = ssl.create_default_context()
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        self.assertEqual(self.ask(server.ports[0], "GET", "/ping", tls=trusting)[0], 200)
        self.assertRaises(ssl.SSLCertVerificationError, self.ask, server.ports[0], "GET", "/ping")

    def test_other_reactors_speak_it_too(self) -> None:
        for reactor in ("epoll", "poll", "select"):
            port, other = free_ports(2)
            addresses: Mapping[str, str] = {
                "inference_address": f"https://{HOST}:{port}",
                "management_address": f"https://{HOST}:{other}",
            }
            server = self.start(addresses, reactor=reactor)
            trusting = ssl.create_default_context()
            trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
            self.assertEqual(self.ask(port, "GET", "/ping", tls=trusting)[0], 200, reactor)
            for body in (None, b"x" * 1_000_000):
                answer = ask(other, "POST", "/models", body)
                told = {"status": "This TorchServe instance only accepts HTTPS requests"}
                self.assertEqual((answer.status, answer.json()), (403, told), reactor)
            server.terminate()

    def test_a_key_that_cannot_be_used_stops_the_start(self) -> None:
        with self.assertRaises(AssertionError) as failed:
            self.serve(private_key_file=__file__)
        self.assertTrue(re.search("TLS key and certificate cannot be used", str(failed.exception)))
