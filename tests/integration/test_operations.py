"""Operations with real processes: the peers' commands, key files, snapshots and TLS."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase, skipUnless

import psutil
import trustme
from attrs import define, field

import modelserver
from modelserver.archive.pack import PackRequest, pack
from modelserver.system.pid_file import PidFile
from tests.harness.server_process import HOST, LONGEST, Answer, ServerTests, ask, eventually, free_ports

ROOT = str(Path(modelserver.__file__).parent.parent)
SCRIPT = "import sys\nfrom modelserver.cli.{module} import {function}\nsys.exit({function}())\n"
COMMANDS = {
    "torchserve": ("launchers.torchserve", "main"),
    "multi-model-server": ("launchers.multi_model_server", "main"),
    "mxnet-model-server": ("launchers.multi_model_server", "main_by_old_name"),
    "modelserver": ("main", "main"),
}
ECHO = """\
import logging
def handle(data, context):
    logging.getLogger("mine").info("answering %d", len(data or []))
    return [bytes(row.get("body") or row.get("data")) for row in data or []]
"""
PEER = str(Path(os.environ.get("MODELSERVER_PEER_TS", "/nowhere"), "torchserve"))
"""The real ``torchserve``, where there is one to compare with."""


@define(eq=False)
class Installation:
    """A folder with a model store, a configuration for free ports, and the commands."""

    folder: Path
    environment: dict[str, str] = field(factory=dict)
    ports: list[int] = field(factory=lambda: free_ports(5))
    _runs: Iterator[int] = field(factory=count)

    def __attrs_post_init__(self) -> None:
        for name in ("tmp", "bin", "model_store"):
            (self.folder / name).mkdir()
        for name, (module, function) in COMMANDS.items():
            text = SCRIPT.format(module=module, function=function)
            (self.folder / "bin" / name).write_text(text, "ascii")
        names = ("inference", "management", "metrics")
        addresses = [
            f"{name}_address=http://{HOST}:{port}\n" for name, port in zip(names, self.ports[:3], strict=True)
        ]
        rpc = [f"grpc_{name}_port={port}\n" for name, port in zip(names[:2], self.ports[3:], strict=True)]
        self.configure("".join([*addresses, *rpc, "default_workers_per_model=1\n"]))

    def configure(self, text: str) -> None:
        """Add to the configuration."""
        with (self.folder / "config.properties").open("a", encoding="ascii") as file:
            file.write(text)

    def add_model(self, name: str, version: str = "1.0") -> None:
        """Pack an archive into the store."""
        handler = self.folder / f"{name}_handler.py"
        handler.write_text(ECHO, "ascii")
        request = PackRequest(name, version=version, handler=str(handler), export_path=self.store)
        pack(request)

    @property
    def store(self) -> Path:
        return self.folder / "model_store"

    @property
    def pid_file(self) -> PidFile:
        return PidFile(self.folder / "tmp" / ".model_server.pid")

    def run(self, command: str, *words: str) -> tuple[int, str]:
        """Run a command to its end; the exit status, and what it and the server have written so far."""
        program = [command] if os.sep in command else [sys.executable, str(self.folder / "bin" / command)]
        inherited = {
            name: text
            for name, text in os.environ.items()
            if not name.startswith(("TS_", "MMS_", "TEMP", "TMP", "LOG_", "METRICS_"))
        }
        said = self.folder / f"said-{next(self._runs)}"
        with said.open("w") as output:  # not a pipe: the server inherits it
            ran = subprocess.run(
                [*program, *words],
                cwd=self.folder,
                env={
                    **inherited,
                    "TMPDIR": str(self.folder / "tmp"),
                    "TEMP": str(self.folder / "tmp"),
                    "PYTHONPATH": ROOT,
                    **self.environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=LONGEST,
                check=False,
            )
        return ran.returncode, said.read_text(errors="replace")

    def ask(self, port: int, method: str, path: str, body: bytes | None = None, key: str = "") -> Answer:
        """One request, with a key if one is named; status 0 if nobody listens."""
        headers = {"Authorization": f"Bearer {self.keys()[key]['key']}"} if key else {}
        try:
            return ask(self.ports[port], method, path, body, headers)
        except OSError:
            return Answer(0, {}, b"")

    def keys(self) -> dict[str, dict[str, str]]:
        """What the key file has."""
        read: dict[str, dict[str, str]] = json.loads((self.folder / "key_file.json").read_text("ascii"))
        return read

    def snapshots(self) -> list[str]:
        """The occasions of the snapshots, in order."""
        names = sorted(path.name for path in (self.folder / "logs" / "config").glob("*.cfg"))
        return [name.rpartition("-")[2].removesuffix(".cfg") for name in names]


class InstallationTests(TestCase):
    """A new installation for each test; no server is left."""

    def setUp(self) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        self.on = Installation(Path(folder.name).resolve())
        self.addCleanup(self.stop_all)

    def stop_all(self) -> None:
        pid = self.on.pid_file.read()
        if pid and psutil.pid_exists(pid):
            psutil.Process(pid).terminate()
            psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], LONGEST)

    def ran(self, *words: str, status: int = 0) -> str:
        got, said = self.on.run(*words)
        self.assertEqual(got, status, said)
        return said

    def command_line(self) -> list[str]:
        """The words of the server's process."""
        pid = self.on.pid_file.read()
        assert pid, "it was started in the background"
        return psutil.Process(pid).cmdline()

    def until_ready(self) -> None:
        eventually(lambda: self.on.ask(0, "GET", "/health/ready").status == 200)

    def assert_logged(self, name: str, line: str) -> None:
        """Lines wait for a moment before they are written."""
        file = self.on.folder / "logs" / name
        eventually(lambda: re.search(line, file.read_text("utf-8"), re.MULTILINE))

    def assert_answer(self, status: int, *asked: Any, **more: Any) -> Answer:
        got = self.on.ask(*asked, **more)
        self.assertEqual(got.status, status, got.body)
        return got


class TorchServeTests(InstallationTests):
    """The commands of TorchServe's getting-started pages, verbatim."""

    def test_getting_started_with_tokens(self) -> None:
        self.on.add_model("densenet161")
        self.ran(
            *("torchserve", "--start", "--ncs", "--model-store", "model_store"),
            *("--models", "densenet161.mar"),
        )
        self.until_ready()
        self.assertIn("org.pytorch.serve.ModelServer", self.command_line())
        self.assert_answer(400, 0, "GET", "/ping")
        self.assert_answer(200, 0, "GET", "/ping", key="inference")
        self.assert_logged("model_log.log", r"W-9000-densenet161_1\.0-stdout MODEL_LOG - \[PID\]\d+$")
        self.assert_logged(
            "model_log.log", r"W-9000-densenet161_1\.0-stdout MODEL_LOG - Torch worker started\.$"
        )
        self.assert_logged("ts_log.log", r"Model densenet161 loaded\.")
        answer = self.assert_answer(200, 0, "POST", "/predictions/densenet161", b"kitten", key="inference")
        self.assertEqual(answer.body, b"kitten")
        self.assert_logged("model_log.log", r"W-9000-densenet161_1\.0-stdout MODEL_LOG - answering 1$")
        described = self.assert_answer(200, 1, "GET", "/models/densenet161", key="management").json()
        self.assertTrue(described[0]["loadedAtStartup"])
        self.assert_answer(405, 1, "POST", "/models?url=densenet161.mar", key="management")
        self.assert_answer(400, 1, "GET", "/models", key="inference")
        self.assert_answer(200, 2, "GET", "/metrics")
        before = self.on.keys()
        self.assertEqual(self.assert_answer(200, 1, "GET", "/token?type=inference", key="API").body, b"\n")
        self.assertNotEqual(self.on.keys()["inference"], before["inference"])
        self.assert_answer(200, 0, "GET", "/ping", key="inference")
        self.assertIn("already running", self.ran("torchserve", "--model-store", "model_store", status=1))
        # Our own commands find the keys where they are.
        address = ("--inference", f"http://{HOST}:{self.on.ports[0]}")
        self.assertEqual(self.ran("modelserver", "ping", *address), "Healthy\n")
        self.assertEqual(self.ran("torchserve", "--stop"), "TorchServe has stopped.\n")
        self.assertEqual(self.on.ask(0, "GET", "/ping").status, 0)
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.assertIsNone(self.on.pid_file.read())
        self.assertEqual(self.on.snapshots(), [])
        self.assertEqual(self.ran("torchserve", "--stop"), "TorchServe is not currently running.\n")

    def test_getting_started_without_tokens(self) -> None:
        self.on.add_model("a")
        self.on.add_model("b")
        self.ran(
            *("torchserve", "--start", "--model-store", "model_store", "--models", "all"),
            *("--disable-token-auth", "--enable-model-api"),
        )
        self.until_ready()
        self.assert_answer(200, 0, "GET", "/ping")
        self.assert_answer(200, 1, "DELETE", "/models/a")
        self.assert_logged("ts_log.log", r"Model a unregistered\.$")
        self.assert_answer(200, 1, "POST", "/models?url=a.mar&initial_workers=1")
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.ran("torchserve", "--stop")

    def test_keys_of_the_operator_are_read_again(self) -> None:
        file = self.on.folder / "mine.json"
        keys = {name: {"key": f"a-key-for-{name}"} for name in ("inference", "management", "API")}
        file.write_text(json.dumps(keys), "ascii")
        self.on.environment["TS_TOKEN_FILE"] = str(file)
        self.ran("torchserve", "--ncs", "--model-store", "model_store")
        self.until_ready()

        def ping(key: str) -> int:
            headers = {"Authorization": f"Bearer {key}"}
            return ask(self.on.ports[0], "GET", "/ping", None, headers).status

        self.assertEqual(ping("a-key-for-inference"), 200)
        keys["inference"]["key"] = "another-key-for-inference"
        file.write_text(json.dumps(keys), "ascii")
        eventually(lambda: ping("another-key-for-inference") == 200)
        self.assertEqual(ping("a-key-for-inference"), 400)
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.ran("torchserve", "--stop")
        self.assertTrue(file.exists())

    def test_snapshots_bring_back_what_was_there(self) -> None:
        self.on.add_model("a")
        self.on.add_model("b", "2.0")
        self.ran(
            *("torchserve", "--model-store", "model_store", "--models", "a.mar"),
            *("--dt", "--enable-model-api"),
        )
        self.until_ready()
        self.assert_answer(200, 1, "POST", "/models?url=b.mar&initial_workers=1&batch_size=3")
        self.assert_answer(200, 1, "PUT", "/models/a?min_worker=2&synchronous=true")
        self.ran("torchserve", "--stop")
        self.assertEqual(self.on.snapshots(), ["startup", "snapshot", "snapshot", "shutdown"])
        self.ran("torchserve")  # the model store is in the snapshot
        self.until_ready()
        a, b = (self.assert_answer(200, 1, "GET", f"/models/{name}").json()[0] for name in ("a", "b"))
        self.assertEqual((a["minWorkers"], len(a["workers"])), (2, 2))
        self.assertEqual((b["modelVersion"], b["batchSize"]), ("2.0", 3))
        self.ran("torchserve", "--stop")
        self.assertEqual(self.on.snapshots()[4:], ["startup", "shutdown"])

    def test_a_snapshot_whose_archive_is_gone_does_not_start(self) -> None:
        self.on.add_model("a")
        self.ran("torchserve", "--model-store", "model_store", "--models", "a.mar", "--dt")
        self.until_ready()
        self.ran("torchserve", "--stop")
        (self.on.store / "a.mar").unlink()
        status, said = self.on.run("torchserve", "--foreground")
        self.assertNotEqual(status, 0)
        self.assertIn("Model archive file for model :a, version :1.0 not found in model store", said)
        self.assertIsNone(self.on.pid_file.read())

    def test_foreground(self) -> None:
        with subprocess.Popen(
            [
                sys.executable,
                "bin/torchserve",
                "--foreground",
                "--ncs",
                "--dt",
                "--model-store",
                "model_store",
            ],
            cwd=self.on.folder,
            env={**os.environ, "TMPDIR": str(self.on.folder / "tmp"), "PYTHONPATH": ROOT},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            self.until_ready()
            self.assertEqual(self.on.pid_file.read(), process.pid)
            self.assertEqual(self.ran("torchserve", "--stop", "--foreground"), "TorchServe has stopped.\n")
            process.wait(LONGEST)
        self.assertIsNone(self.on.pid_file.read())


class MultiModelServerTests(InstallationTests):
    """The commands of Multi Model Server's README, verbatim but for the addresses."""

    def test_getting_started(self) -> None:
        self.on.add_model("squeezenet")
        manifest = {"name": "squeezenet", "handler": "squeezenet_handler.py:handle", "modelVersion": "1.0"}
        folder = self.on.store / "squeezenet"
        (folder / "MAR-INF").mkdir(parents=True)
        (folder / "squeezenet_handler.py").write_text(ECHO, "ascii")
        document = {"model": {"modelName": "squeezenet", **manifest}, "engine": {"engineName": "MXNet"}}
        (folder / "MAR-INF" / "MANIFEST.json").write_text(json.dumps(document), "ascii")
        self.ran(
            *("multi-model-server", "--start", "--model-store", "model_store"),
            *("--models", "squeezenet=squeezenet"),
        )
        self.until_ready()
        # By this word SageMaker's toolkits find the server among the processes.
        self.assertIn("com.amazonaws.ml.mms.ModelServer", self.command_line())
        self.assertEqual(self.assert_answer(200, 0, "GET", "/ping").json(), {"status": "Healthy"})
        self.assertEqual(self.assert_answer(200, 0, "POST", "/predictions/squeezenet", b"cat").body, b"cat")
        self.assertEqual(
            self.assert_answer(200, 1, "GET", "/models").json()["models"][0]["modelName"], "squeezenet"
        )
        self.assert_answer(200, 1, "PUT", "/models/squeezenet?min_worker=2&synchronous=true")
        self.assertIn("already running", self.ran("multi-model-server", status=1))
        self.assertEqual(self.ran("multi-model-server", "--stop"), "Model server stopped.\n")
        self.assertFalse((self.on.folder / "key_file.json").exists())
        self.assertIn("Please move to multi-model-server", self.ran("mxnet-model-server", "--stop"))


@skipUnless(Path(PEER).exists(), "MODELSERVER_PEER_TS names no folder with torchserve")
class PeerFilesTests(InstallationTests):
    """What the real TorchServe has written is used unchanged."""

    def peer_has_started(self) -> bool:
        """Whether it answers; its key file is there before it is whole."""
        try:
            return self.on.ask(0, "GET", "/ping", key="inference").status == 200
        except (FileNotFoundError, ValueError):
            return False

    def test_snapshot_keys_and_configuration(self) -> None:
        self.on.add_model("a")
        self.on.add_model("b")
        self.on.configure("model_store=model_store\nenable_model_api=true\n")
        # The peer's Java looks for its Python by the PATH.
        self.on.environment["PATH"] = os.pathsep.join([str(Path(PEER).parent), os.environ["PATH"]])
        self.ran(PEER, "--start", "--ts-config", "config.properties", "--models", "a.mar")
        eventually(self.peer_has_started)
        self.assert_answer(
            200, 1, "POST", "/models?url=b.mar&initial_workers=2&batch_size=4", key="management"
        )
        self.assert_answer(200, 1, "PUT", "/models/b?min_worker=3&synchronous=true", key="management")
        keys = self.on.folder / "keys of the peer.json"
        shutil.copy(self.on.folder / "key_file.json", keys)
        self.ran(PEER, "--stop", "--foreground")
        eventually(lambda: "shutdown" in self.on.snapshots())
        self.assertEqual(self.on.ask(0, "GET", "/ping").status, 0)
        (self.on.folder / "key_file.json").unlink(missing_ok=True)
        # The same folder, our command.
        shutil.copy(keys, self.on.folder / "key_file.json")
        self.on.environment["TS_TOKEN_FILE"] = "key_file.json"
        self.ran("torchserve", "--start")
        self.until_ready()
        b = self.assert_answer(200, 1, "GET", "/models/b", key="management").json()[0]
        self.assertEqual((b["minWorkers"], b["batchSize"], len(b["workers"])), (3, 4, 3))
        self.assertEqual(
            self.assert_answer(200, 0, "POST", "/predictions/a", b"x", key="inference").body, b"x"
        )
        self.ran("torchserve", "--stop")


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
