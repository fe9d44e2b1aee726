"""
The curl lines of the peers' documents, run by curl, against a real server in each dialect.

Where ``MODELSERVER_PEER_TS`` or ``MODELSERVER_PEER_MMS`` name the ``bin`` folder of an environment with a
peer, it is asked, too; our answers then hold at least what its answers do.
"""

from __future__ import annotations

import http.server
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import skipUnless

import pytest

from modelserver.archive.pack import PackRequest, pack
from tests.harness.buckets import fill
from tests.harness.document_lines import Line, masked, missing
from tests.harness.mms_lines import MMS, MMS_MISTAKES
from tests.harness.server_process import (
    HOST,
    LONGEST,
    ServerProcess,
    ServerTests,
    ask,
    eventually,
    free_ports,
)
from tests.harness.torchserve_lines import S3, TORCHSERVE, TORCHSERVE_MISTAKES

PEERS = {
    "torchserve": os.environ.get("MODELSERVER_PEER_TS", ""),
    "mms": os.environ.get("MODELSERVER_PEER_MMS", ""),
}
LINES = {"torchserve": (*TORCHSERVE, *TORCHSERVE_MISTAKES), "mms": (*MMS, *MMS_MISTAKES)}
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
NOOP = "def handle(data, context):\n    return None if data is None else ['ok'] * len(data)\n"
BROKEN = "import no_module_has_this_name\n"
CUSTOMIZED = """
from ts.torch_handler.base_handler import BaseHandler


class Noop(BaseHandler):
    def initialize(self, context):
        self.context = context
        self.initialized = True

    def describe_handle(self):
        return {"data1": "1", "data2": "2"}

    def handle(self, data, context):
        if context.get_request_header(0, "describe") == "True":
            return [self.describe_handle()]
        return ["ok"] * len(data)
"""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


class QuietFiles(http.server.SimpleHTTPRequestHandler):
    """Serves files, and says nothing about it."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def curl(words: str) -> tuple[int, Any]:
    """Run curl with these words; the status and the JSON of the answer."""
    told = subprocess.run(
        ["curl", "-s", "-S", "--max-time", "100", "-w", "\n%{http_code}", *shlex.split(words)],
        capture_output=True,
        check=True,
        timeout=2 * LONGEST,
        text=True,
    )
    body, _, status = told.stdout.rpartition("\n")
    return int(status), json.loads(body)


class DocumentTests(ServerTests):
    """What the documents say to type, typed."""

    def archives(self) -> Path:
        """A folder with all archives."""
        folder = TemporaryDirectory(prefix="modelserver-archives-")
        self.addCleanup(folder.cleanup)
        path = Path(folder.name)
        for file, name, version, source in (
            ("noop", "noop", "1.0", NOOP),
            ("noop_v2", "noop", "2.0", NOOP),
            ("noop-customized", "noop-customized", "1.0", CUSTOMIZED),
            ("broken", "broken", "1.0", BROKEN),
            ("squeezenet1_1", "squeezenet1_1", "1.0", NOOP),
        ):
            own = path / "sources" / file
            own.mkdir(parents=True)
            handler = own / "service.py"
            handler.write_text(source)
            entry = str(handler) if source is CUSTOMIZED else f"{handler}:handle"
            made = pack(PackRequest(name, version=version, handler=entry, export_path=own))
            made.rename(path / f"{file}.mar")
        return path

    def web(self, folder: Path) -> str:
        """A web server of archives; returns where it is."""
        server = http.server.ThreadingHTTPServer((HOST, 0), partial(QuietFiles, directory=str(folder)))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join, LONGEST)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://{HOST}:{server.server_address[1]}"

    def stocked(self, store: Path, archives: Path) -> None:
        """Put the archives that the documents take as being there into a store."""
        store.mkdir(parents=True, exist_ok=True)
        for path in archives.glob("*.mar"):
            if path.name != "squeezenet1_1.mar":
                shutil.copy(path, store)

    def ours(
        self, dialect: str, archives: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> ServerProcess:
        """Our server, in a dialect; its store is empty without archives."""
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        properties = {
            "dialect": dialect,
            "enable_model_api": "true",
            "disable_token_authorization": "true",
            "allowed_urls": "file://.*,http(s)?://.*",
        }
        server = ServerProcess(Path(folder.name), properties, environment=dict(environment or {}))
        if archives is not None:
            self.stocked(server.store, archives)
        server.start()
        self.addCleanup(server.end)
        return server

    def peer(self, dialect: str, archives: Path) -> str:
        """The peer; returns where its management is."""
        made = TemporaryDirectory(prefix="modelserver-peer-", ignore_cleanup_errors=True)
        self.addCleanup(made.cleanup)
        folder, programs = Path(made.name), PEERS[dialect]
        self.stocked(folder / "store", archives)
        inference, management, *others = low_ports(5)
        settings = {
            "inference_address": f"http://{HOST}:{inference}",
            "management_address": f"http://{HOST}:{management}",
        }
        words = ["multi-model-server", "--start", "--mms-config"]
        if dialect == "torchserve":
            settings |= {
                "metrics_address": f"http://{HOST}:{others[0]}",
                "grpc_inference_port": str(others[1]),
                "grpc_management_port": str(others[2]),
                "disable_token_authorization": "true",
                "enable_model_api": "true",
            }
            words = ["torchserve", "--ncs", "--ts-config"]
        config = folder / "config.properties"
        config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        log = (folder / "log.txt").open("wb")
        self.addCleanup(log.close)
        started = subprocess.Popen(
            [
                f"{programs}/{words[0]}",
                *words[1:],
                str(config),
                "--foreground",
                "--model-store",
                str(folder / "store"),
            ],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "TMPDIR": str(folder),
                "TEMP": str(folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.addCleanup(end_group, started)
        eventually(lambda: answers(management), 2 * LONGEST)
        return f"http://{HOST}:{management}"

    def told(self, lines: Sequence[Line], management: str, archives: str) -> list[tuple[int, Any]]:
        """What a server answers to each line, masked."""
        found = []
        for line in lines:
            status, body = curl(filled(line.words, management, archives))
            found.append((status, json.loads(json.dumps(masked(body)).replace(archives, "{archives}"))))
            if line.ready is not None:
                name, count = line.ready
                eventually(lambda name=name, count=count: ready(management, name) == count, 2 * LONGEST)  # type: ignore[misc]  # it has defaults
        return found

    def bucket(self, archive: bytes) -> tuple[str, Mapping[str, str]]:
        """A bucket with an archive under SSE-KMS; where it is, and the variables for who may read it."""
        (port,) = free_ports(1)
        started = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(port)],
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "6"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.addCleanup(end_group, started)
        eventually(lambda: listens(port))
        key_id, secret = fill(f"http://{HOST}:{port}", archive)
        return f"http://{HOST}:{port}/models", {
            "AWS_ACCESS_KEY_ID": key_id,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "eu-west-1",
        }

    def test_s3(self) -> None:
        url, variables = self.bucket((self.archives() / "noop.mar").read_bytes())
        server = self.ours("torchserve", environment=variables)
        self.check(S3, server, url)
        self.assertEqual(list(server.store.iterdir()), [])

    def test_s3_without_credentials(self) -> None:
        server = self.ours("torchserve", environment=dict.fromkeys(VARIABLES, ""))
        answer = server.management("POST", f"/models?url=http://{HOST}:1/models/noop.mar&s3_sse_kms=true")
        self.assertEqual(answer.status, 400)
        for name in VARIABLES:
            self.assertIn(name, answer.json()["message"])

    def check(self, lines: Sequence[Line], server: ServerProcess, archives: str) -> None:
        """Our answers are those of the documents."""
        told = self.told(lines, f"http://{HOST}:{server.ports[1]}", archives)
        for line, (status, body) in zip(lines, told, strict=True):
            with self.subTest(line.words):
                self.assertEqual((line.status, []), (status, missing(masked(line.body), body)), body)

    def compare(self, dialect: str) -> None:
        """Our answers hold what the peer's hold, but for what is meant to be better."""
        archives = self.archives()
        web, lines = self.web(archives), LINES[dialect]
        theirs = self.told(lines, self.peer(dialect, archives), web)
        server = self.ours(dialect, archives)
        ours = self.told(lines, f"http://{HOST}:{server.ports[1]}", web)
        for line, (status, body), (our_status, our_body) in zip(lines, theirs, ours, strict=True):
            with self.subTest(line.words):
                differences = missing(body, our_body)
                if line.differs:
                    self.assertTrue(differences or status != our_status, "the peer does the same")
                else:
                    self.assertEqual((status, []), (our_status, differences))

    def test_torchserve_document(self) -> None:
        archives = self.archives()
        self.check(LINES["torchserve"], self.ours("torchserve", archives), self.web(archives))

    def test_mms_document(self) -> None:
        archives = self.archives()
        self.check(LINES["mms"], self.ours("mms", archives), self.web(archives))

    @pytest.mark.timeout(600)
    @skipUnless(PEERS["torchserve"], "MODELSERVER_PEER_TS names no TorchServe")
    def test_torchserve_itself(self) -> None:
        self.compare("torchserve")

    @pytest.mark.timeout(600)
    @skipUnless(PEERS["mms"], "MODELSERVER_PEER_MMS names no Multi Model Server")
    def test_mms_itself(self) -> None:
        self.compare("mms")


def low_ports(count: int) -> list[int]:
    """Free ports that Multi Model Server takes: it knows none from 32768 on."""
    found: list[int] = []
    for port in range(20000 + os.getpid() % 10000, 32768):
        if can_bind(port):
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("there are no free ports")


def can_bind(port: int) -> bool:
    """Whether nobody has a port."""
    try:
        socket.create_server((HOST, port)).close()
    except OSError:
        return False
    return True


def filled(words: str, management: str, archives: str) -> str:
    """A line with its addresses."""
    return words.replace("{management}", management).replace("{archives}", archives)


def answers(port: int) -> bool:
    """Whether somebody serves there."""
    try:
        return ask(port, "GET", "/models").status == 200
    except OSError:
        return False


def listens(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def ready(management: str, name: str) -> int:
    """How many workers of a model are ready."""
    status, body = curl(f'"{management}/models/{name}"')
    if status != 200:
        return -1
    (model,) = body if isinstance(body, list) else [body]
    return sum(worker["status"] == "READY" for worker in model["workers"])


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a server that has its own process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(LONGEST / 4)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
