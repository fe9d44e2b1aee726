"""
Archives of the real archiver, from registration to unregistration, by curl: TorchServe's keys, codes, texts.

``MODELSERVER_PEER_TS`` names the ``bin`` folder of an environment with ``torch-model-archiver``; without it,
archives are made by our own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
from attrs import frozen

from modelserver.archive.pack import PackRequest, pack
from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually

PEER = os.environ.get("MODELSERVER_PEER_TS", "")
SCRIPTED = """
import os

import torch

class ScriptedHandler:
    def initialize(self, context):
        folder = context.system_properties["model_dir"]
        file = context.manifest["model"]["serializedFile"]
        self.model = torch.jit.load(os.path.join(folder, file))

    def handle(self, data, context):
        rows = [row.get("data") or row.get("body") for row in data]
        return self.model(torch.tensor(rows)).tolist()
"""
PLAIN = """
def handle(data, context):
    if data is None:
        return None
    return [{"model": context.model_name, "got": row["body"]} for row in data]
"""
DESCRIPTION = {
    "modelName",
    "modelVersion",
    "modelUrl",
    "runtime",
    "minWorkers",
    "maxWorkers",
    "batchSize",
    "maxBatchDelay",
    "responseTimeout",
    "startupTimeout",
    "maxRetryTimeoutInSec",
    "clientTimeoutInMills",
    "parallelType",
    "parallelLevel",
    "deviceType",
    "continuousBatching",
    "useJobTicket",
    "useVenv",
    "stateful",
    "sequenceMaxIdleMSec",
    "sequenceTimeoutMSec",
    "maxNumSequence",
    "maxSequenceJobQueueSize",
    "loadedAtStartup",
    "workers",
    "jobQueueStatus",
}
WORKER = {"id", "startTime", "status", "memoryUsage", "pid", "gpu", "gpuUsage"}
MORE = {"memoryPrivate", "memoryShared", "threads"}
"""What this server tells of a worker beside what the peer does."""

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")


@frozen
class Printed:
    """What curl printed."""

    status: int
    text: str

    @property
    def document(self) -> object:
        return json.loads(self.text)


def curl(url: str, *options: str) -> Printed:
    """Run curl as a user does."""
    words = ["curl", "-sS", "-w", "\n%{http_code}", *options, url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=True)
    text, _, status = done.stdout.rpartition("\n")
    return Printed(int(status), text)


def archive(store: Path, name: str, version: str, handler: Path, serialized: Path | None = None) -> None:
    """Make an archive, by the peer's archiver where there is one."""
    if not PEER:
        model = None if serialized is None else str(serialized)
        pack(PackRequest(name, version, str(handler), serialized_file=model, export_path=store))
        return
    words = [f"{PEER}/torch-model-archiver", "--model-name", name, "--version", version]
    words += ["--handler", str(handler), "--export-path", str(store)]
    if serialized is not None:
        words += ["--serialized-file", str(serialized)]
    subprocess.run(words, capture_output=True, timeout=LONGEST, check=True)


class ManagementTests(ServerTests):
    """One server, one story."""

    def status(self, code: int, text: str, got: Printed) -> None:
        """Fail unless the answer is this status text."""
        self.assertEqual((code, {"status": text}), (got.status, got.document))

    def failure(self, code: int, kind: str, text: str, got: Printed) -> None:
        """Fail unless the answer is this error."""
        self.assertEqual(
            (code, {"code": code, "type": kind, "message": text}), (got.status, got.document), got.text
        )

    def prepare(self) -> ServerProcess:
        """A server, and two archives: one TorchScript model, and a function in two versions."""
        import torch

        server = self.start()
        sources = server.folder / "sources"
        sources.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch would rather export it
            scripted = torch.jit.trace(torch.nn.Threshold(0.0, -1.0), torch.zeros(2))
        scripted.save(str(sources / "model.pt"))
        (sources / "scripted_handler.py").write_text(SCRIPTED)
        (sources / "plain.py").write_text(PLAIN)
        archive(server.store, "scripted", "1.0", sources / "scripted_handler.py", sources / "model.pt")
        archive(server.store, "plain", "1.0", sources / "plain.py")
        (server.store / "plain.mar").rename(server.store / "plain-1.mar")
        archive(server.store, "plain", "2.0", sources / "plain.py")
        return server

    def test_story(self) -> None:
        server = self.prepare()
        ours = f"http://{HOST}:{server.ports[1]}/models"
        predictions = f"http://{HOST}:{server.ports[0]}/predictions"
        self.register(ours)
        self.predict(predictions)
        self.scale(ours, server)
        self.describe(ours)
        self.list(ours)
        self.set_default(ours)
        self.unregister(ours, predictions)
        eventually(lambda: not server.children())
        self.assertEqual([], [path for path in server.temporary.rglob("*") if path.suffix == ".py"])

    def register(self, ours: str) -> None:
        wishes = "synchronous=true&initial_workers=1"
        text = 'Model "{}" Version: {} registered with {} initial workers'
        got = curl(f"{ours}?url=scripted.mar&{wishes}", "-X", "POST")
        self.status(200, text.format("scripted", "1.0", 1), got)
        got = curl(f"{ours}?url=plain-1.mar&{wishes}&handler=plain:handle", "-X", "POST")
        self.status(200, text.format("plain", "1.0", 1), got)
        none = text.format("plain", "2.0", 0) + ". Use scale workers API to add workers for the model."
        self.status(200, none, curl(f"{ours}?url=plain.mar&initial_workers=0", "-X", "POST"))
        self.failure(
            409,
            "ConflictStatusException",
            "Model version 2.0 is already registered for model plain",
            curl(f"{ours}?url=plain.mar", "-X", "POST"),
        )
        missing = "Model not found at: nothing.mar"
        self.failure(404, "ModelNotFoundException", missing, curl(f"{ours}?url=nothing.mar", "-X", "POST"))
        self.failure(400, "BadRequestException", "Parameter url is required.", curl(ours, "-X", "POST"))

    def predict(self, predictions: str) -> None:
        as_json = ["-H", "content-type: application/json"]
        got = curl(f"{predictions}/scripted", *as_json, "-d", "[1.5, -2.0]")
        self.assertEqual((200, [1.5, -1.0]), (got.status, got.document))
        got = curl(f"{predictions}/plain", *as_json, "-d", '{"a": [1]}')
        self.assertEqual((200, {"model": "plain", "got": {"a": [1]}}), (got.status, got.document))
        got = curl(f"{predictions}/plain/2.0", "-d", "x")
        self.assertEqual(503, got.status)

    def scale(self, ours: str, server: ServerProcess) -> None:
        three, one = "min_worker=3&synchronous=true", "min_worker=1&max_worker=1&synchronous=true"
        self.status(
            200, "Workers scaled to 3 for model: scripted", curl(f"{ours}/scripted?{three}", "-X", "PUT")
        )
        self.assertEqual(3, server.ready("scripted"))
        self.status(
            200, "Workers scaled to 1 for model: scripted", curl(f"{ours}/scripted?{one}", "-X", "PUT")
        )
        self.assertEqual(1, len(server.workers("scripted")))
        got = curl(f"{ours}/plain/2.0?{one}", "-X", "PUT")
        self.status(200, "Workers scaled to 1 for model: plain, version: 2.0", got)
        self.status(202, "Processing worker updates...", curl(f"{ours}/plain?min_worker=1", "-X", "PUT"))
        self.failure(
            400,
            "BadRequestException",
            "max_worker cannot be less than min_worker.",
            curl(f"{ours}/plain?min_worker=2&max_worker=1", "-X", "PUT"),
        )
        self.failure(
            404, "ModelNotFoundException", "Model not found: nothing", curl(f"{ours}/nothing", "-X", "PUT")
        )

    def describe(self, ours: str) -> None:
        got = curl(f"{ours}/scripted")
        (described,) = json.loads(got.text)
        self.assertEqual(200, got.status)
        self.assertLessEqual(DESCRIPTION, set(described))
        self.assertEqual(
            ("scripted", "1.0", "python"),
            tuple(described[key] for key in ("modelName", "modelVersion", "runtime")),
        )
        (worker,) = described["workers"]
        self.assertLessEqual(WORKER | MORE, set(worker))
        self.assertEqual(("READY", False, "N/A"), (worker["status"], worker["gpu"], worker["gpuUsage"]))
        self.assertGreater(worker["memoryUsage"], 1_000_000)
        self.assertRegex(worker["startTime"], r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
        self.assertEqual({"remainingCapacity": 100, "pendingRequests": 0}, described["jobQueueStatus"])
        versions = [version["modelVersion"] for version in json.loads(curl(f"{ours}/plain/all").text)]
        self.assertEqual({"1.0", "2.0"}, set(versions))
        self.failure(
            404,
            "ModelVersionNotFoundException",
            "Model version: 9 does not exist for model: plain",
            curl(f"{ours}/plain/9"),
        )

    def list(self, ours: str) -> None:
        first = {"modelName": "plain", "modelUrl": "plain-1.mar"}
        second = {"modelName": "scripted", "modelUrl": "scripted.mar"}
        page = curl(f"{ours}?limit=1").document
        self.assertEqual({"nextPageToken": "1", "models": [first]}, page)
        page = curl(f"{ours}?limit=1&next_page_token=1").document
        assert isinstance(page, dict)
        self.assertEqual([second], page["models"])
        self.assertEqual({"models": [first, second]}, curl(ours).document)

    def set_default(self, ours: str) -> None:
        text = 'Default version successfully updated for model "plain" to "2.0"'
        self.status(200, text, curl(f"{ours}/plain/2.0/set-default", "-X", "PUT"))
        (described,) = json.loads(curl(f"{ours}/plain").text)
        self.assertEqual("2.0", described["modelVersion"])
        self.failure(
            404,
            "ModelVersionNotFoundException",
            "Model version 9 does not exist for model plain",
            curl(f"{ours}/plain/9/set-default", "-X", "PUT"),
        )

    def unregister(self, ours: str, predictions: str) -> None:
        self.failure(
            403,
            "InvalidModelVersionException",
            "Cannot remove default version for model plain",
            curl(f"{ours}/plain", "-X", "DELETE"),
        )
        for path in ("plain/1.0", "plain", "scripted"):
            name = path.partition("/")[0]
            self.status(200, f'Model "{name}" unregistered', curl(f"{ours}/{path}", "-X", "DELETE"))
        for got in (
            curl(f"{ours}/plain"),
            curl(f"{ours}/plain", "-X", "DELETE"),
            curl(f"{predictions}/plain"),
        ):
            self.failure(404, "ModelNotFoundException", "Model not found: plain", got)
        self.assertEqual({"models": []}, curl(ours).document)
