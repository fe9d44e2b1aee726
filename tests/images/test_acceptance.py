"""
What an image starts, in namespaces of its own: user 1000, a read-only root, 64 MB of shared memory, no HOME.

``make images-test`` performs the files and runs these. It installs torch and has to be root, so that it is
run by hand.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread
from typing import Any
from unittest import TestCase, skipUnless

import pytest
import yaml

from modelserver.archive.pack import PackRequest, pack
from tests.harness.container import Container, obstacle
from tests.harness.server_process import LONGEST, ROOT, eventually
from tests.images.build import LONGEST_BUILD, Builder, Image, overlay, programs
from tests.images.containerfile import first_words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2 * LONGEST_BUILD + 100)]

VARIABLE = "MODELSERVER_IMAGES"
FOLDER = os.environ.get(VARIABLE)
ARGUMENTS = {"PYTHON_DIGEST": "sha256:" + "0" * 64, "TORCH_INDEX": "https://pypi.org/simple"}
LONGEST_DRAIN = 30
HANDLER = """
import os
import time


def handle(data, context):
    if data is None:
        return None
    bodies = [row.get("body", row.get("data")) for row in data]
    if bodies[0] == b"slow":
        open("/tmp/slow", "w").close()
        time.sleep(2)
    return [f"{os.getuid()} {len(body)}" for body in bodies]
"""
MODEL_FN = """
import time

import torch


def model_fn(model_dir, context=None):
    model = torch.nn.Linear(3, 1)
    model.load_state_dict({"weight": torch.tensor([[1.0, 2.0, 3.0]]), "bias": torch.tensor([0.0])})
    return model


def predict_fn(data, model, context=None):
    if not data.any():
        open("/tmp/slow", "w").close()
        time.sleep(2)
    with torch.no_grad():
        return model(data.float())
"""


@skipUnless(FOLDER, f"{VARIABLE} names no folder: make images-test")
@skipUnless(os.geteuid() == 0, "needs to be root")
class ImageTests(TestCase):
    """Each file, built and started."""

    def setUp(self) -> None:
        why = obstacle()
        if why is not None:
            self.skipTest(why)
        self.folder = Path(FOLDER or "").resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.models = Path(mkdtemp(prefix="modelserver-test-", dir="/var/tmp"))
        self.models.chmod(0o755)
        self.addCleanup(shutil.rmtree, self.models)

    def build(self, name: str) -> Image:
        """Perform a file; what it made is kept for the next test."""
        file = Path(ROOT, "images", f"Containerfile.{name}")
        return Builder(self.folder, Path(ROOT)).build(file, ARGUMENTS)

    def archive(self, store: Path, name: str) -> None:
        """Pack the handler."""
        store.mkdir(parents=True, exist_ok=True)
        source = self.models / f"{name}_handler.py"
        source.write_text(HANDLER, "utf-8")
        pack(PackRequest(name, "1.0", str(source), export_path=store))
        source.unlink()

    def start(
        self, image: Image, mounted: str, variables: Mapping[str, str], arguments: Sequence[str] = ()
    ) -> None:
        """Start the image's command with the folder of models mounted, read-only like the rest."""
        root = self.folder / "run"
        root.mkdir(exist_ok=True)
        stage = image.stage
        tmpfs = "mount -t tmpfs -o"
        place = f"{root}{mounted}"
        preparations = [
            "ip link set lo up",
            overlay(root, image.layers),
            programs(root),
            f"{tmpfs} mode=1777,size=512m tmpfs {root}/tmp",
            f"{tmpfs} mode=755 tmpfs {root}/dev",
            f"mkdir {root}/dev/shm",
            f"{tmpfs} mode=1777,size=64m tmpfs {root}/dev/shm",
            *(f"touch {root}/dev/{name} && mount --bind /dev/{name} {root}/dev/{name}" for name in DEVICES),
            f"mount --bind {self.models} {place} && mount -o remount,ro,bind {place}",
            f"mount -t proc proc {root}/proc",
            f"mount -o remount,ro {root}/usr",
        ]
        environment = {**stage.environment, **variables}
        given = [f"{name}={value}" for name, value in environment.items()]
        inside = f"cd {stage.folder} && exec {shlex.join(first_words(stage, arguments))}"
        command = ["chroot", f"--userspec={stage.user}", "--groups=", str(root), "env", "-i", *given]
        self.container = Container([*command, "sh", "-c", inside], dict(os.environ), preparations)
        self.container.start(own_network=True)
        self.addCleanup(self.container.end)

    def ask(self, method: str, url: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        """One request from within the container's network."""
        return self.container.ask(method, url, body, headers)

    def assert_ok(self, method: str, url: str, body: str | None = None, **headers: str) -> Any:
        """Return what a request is answered, which has to be well."""
        status, text = self.ask(method, url, body, **headers)
        self.assertEqual(status, 200, text + self.container.output[-3000:])
        return text

    def within(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user."""
        user = ("--setuid=1000", "--setgid=1000")
        enter = ["nsenter", f"--target={self.container.first}", "--mount", "--net", "--pid", "--root", *user]
        return subprocess.run([*enter, *words], check=False, capture_output=True, text=True, timeout=LONGEST)

    def assert_contained(self, image: Image) -> None:
        """The health check passes; nothing outside ``/tmp`` can be written; ``/dev/shm`` is small."""
        path = f"PATH={image.stage.environment['PATH']}"
        healthy = self.within("env", "-i", path, *image.stage.health_check)
        self.assertEqual(healthy.returncode, 0, healthy.stderr)
        for place in ("/opt/modelserver/x", "/home/model-server/x", "/etc/x", "/usr/x"):
            self.assertNotEqual(self.within("touch", place).returncode, 0, place)
        self.assertEqual(self.within("df", "--output=size", "-m", "/dev/shm").stdout.split()[-1], "64")

    def assert_drains(self, url: str, slow: str = "slow", **headers: str) -> None:
        """What was asked before TERM is answered; the first process ends in time."""
        answers: list[tuple[int, str]] = []
        asking = Thread(target=lambda: answers.append(self.ask("POST", url, slow, **headers)))
        asking.start()
        eventually(lambda: self.within("test", "-e", "/tmp/slow").returncode == 0)
        self.assert_ends()
        asking.join(LONGEST)
        self.assertEqual(answers[0][0], 200, answers)

    def assert_ends(self) -> None:
        """TERM ends the first process in time and in order."""
        self.container.signal(signal.SIGTERM)
        self.assertEqual(self.container.wait(LONGEST_DRAIN), 0, self.container.output[-3000:])

    def assert_begins(self, url: str) -> None:
        """It gets ready."""
        try:
            eventually(lambda: self.ask("GET", url)[0] == 200)
        except AssertionError as error:
            raise AssertionError(self.container.output[-3000:]) from error

    def check_plain(self, name: str) -> None:
        """The layout of pytorch/torchserve: all models of a folder, management, metrics."""
        image = self.build(name)
        self.archive(self.models, "here")
        variables = {"TS_DISABLE_TOKEN_AUTHORIZATION": "true", "TS_ENABLE_MODEL_API": "true"}
        self.start(image, "/home/model-server/model-store", variables)
        self.assert_begins("8080/health/ready")
        self.assert_contained(image)
        self.assertEqual(self.assert_ok("POST", "8080/predictions/here", "x" * 5_000_000), "1000 5000000")
        self.assert_ok("POST", "8081/models?url=here.mar&model_name=again&initial_workers=1&synchronous=true")
        self.assertEqual(self.assert_ok("POST", "8080/predictions/again", "abc"), "1000 3")
        self.assertIn("modelserver_http_responses_total", self.assert_ok("GET", "8082/metrics"))
        self.assert_drains("8080/predictions/here")

    def test_cpu(self) -> None:
        self.check_plain("cpu")

    def test_cuda(self) -> None:
        # With torch for CPUs, and without a driver: what is left of the file is the same.
        self.check_plain("cuda")

    def test_kserve(self) -> None:
        image = self.build("kserve")
        self.archive(self.models / "model-store", "mnist")
        snapshot = {
            "name": "startup.cfg",
            "modelCount": 1,
            "models": {"mnist": {"1.0": {"defaultVersion": True, "marName": "mnist.mar", "minWorkers": 1}}},
        }
        lines = (
            "inference_address=http://0.0.0.0:8085",
            "management_address=http://0.0.0.0:8085",
            "metrics_address=http://0.0.0.0:8082",
            "grpc_inference_port=7070",
            "enable_envvars_config=true",
            "model_store=/mnt/models/model-store",
            f"model_snapshot={json.dumps(snapshot)}",
        )
        (self.models / "config").mkdir()
        (self.models / "config" / "config.properties").write_text("\n".join(lines), "utf-8")
        runtime = yaml.safe_load(Path(ROOT, "etc/kserve/cluster-serving-runtime.yaml").read_text("utf-8"))
        (container,) = runtime["spec"]["containers"]
        arguments = [*container["args"], "--disable-token-auth"]
        variables = {"TS_SERVICE_ENVELOPE": "kserve", "PROTOCOL_VERSION": "v1"}
        self.start(image, "/mnt/models", variables, arguments)
        self.assert_begins("8080/health/ready")
        self.assert_contained(image)
        answer = self.assert_ok(
            "POST", "8080/v1/models/mnist:predict", json.dumps({"instances": [{"data": "abc"}]})
        )
        self.assertEqual(json.loads(answer), {"predictions": ["1000 3"]})
        self.assert_ends()

    def test_sagemaker(self) -> None:
        image = self.build("sagemaker")
        (self.models / "code").mkdir()
        (self.models / "code" / "inference.py").write_text(MODEL_FN, "utf-8")
        self.start(image, "/opt/ml/model", {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"})
        self.assert_begins("8080/ping")
        self.assert_contained(image)
        body = {"content-type": "application/json", "accept": "application/json"}
        answer = self.assert_ok("POST", "8080/invocations", "[[1.0, 2.0, 3.0]]", **body)
        self.assertEqual(json.loads(answer), [[14.0]])
        self.assert_drains("8080/invocations", "[[0.0, 0.0, 0.0]]", **body)


DEVICES = ("null", "zero", "full", "random", "urandom")
