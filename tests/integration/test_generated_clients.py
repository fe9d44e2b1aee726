"""
Clients that generators make of the descriptions of both listeners, at work with a real server.

The generators are programs from ``PATH`` or from the folder that ``MODELSERVER_GENERATORS`` names: they, and
what their clients import, do not share an environment with what the server needs. ``make clients`` makes one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import skipUnless

import pytest

from tests.harness.server_process import HOST, ServerTests, ask

FOLDER = os.environ.get("MODELSERVER_GENERATORS")
LISTENERS = ("inference", "management")
LONGEST = 180.0
OPEN = {"enable_model_api": "true", "disable_token_authorization": "true", "default_workers_per_model": "1"}
ECHO = """
import json
def handle(data, context):
    if data is None:
        return None
    bodies = [row["body"] for row in data]
    return [body if isinstance(body, (bytes, bytearray)) else json.dumps(body) for body in bodies]
"""
TOLD: dict[str, Any] = {
    "ping": "Healthy",
    "models": ["echo"],
    "wanted": [1, 2],
    "workers": 2,
    "json": '{"a": [1, 2]}',
    "bytes": "00ff",
    "unregistered": 'Model "echo" unregistered',
    "refusal": [404, "ModelNotFoundException", "Model not found: echo"],
}
"""What both clients tell, as JSON, at their end."""

OPENAPI_PYTHON_CLIENT = """
import json, sys
from io import BytesIO
import inference.client, management.client
from inference.api.default import ping, predictions
from inference.models import PredictionsJsonBody
from inference.types import File
from management.api.default import describe_model, list_models, register_model
from management.api.default import set_auto_scale, unregister_model

asks = inference.client.Client(base_url=sys.argv[1])
rules = management.client.Client(base_url=sys.argv[2])

def describe():
    described = describe_model.sync("echo", client=rules)
    return described[0] if isinstance(described, list) else described

def ask(body):
    return predictions.sync("echo", client=asks, body=body).payload.read()

told = {"ping": ping.sync(client=asks).status}
register_model.sync(client=rules, url_query="echo.mar", initial_workers=1, synchronous=True)
told["models"] = [model.model_name for model in list_models.sync(client=rules).models]
wanted = [describe().min_workers]
set_auto_scale.sync("echo", client=rules, min_worker=2, synchronous=True)
told["wanted"] = [*wanted, describe().min_workers]
told["workers"] = len(describe().workers)
told["json"] = ask(PredictionsJsonBody.from_dict({"a": [1, 2]})).decode()
told["bytes"] = ask(File(payload=BytesIO(bytes((0, 255))))).hex()
told["unregistered"] = unregister_model.sync("echo", client=rules).status
refusal = predictions.sync("echo", client=asks, body=File(payload=BytesIO(b"x")))
told["refusal"] = [refusal.code, refusal.type_, refusal.message]
print(json.dumps(told))
"""
OPENAPI_GENERATOR = """
import json, sys
import inference, management

asks = inference.DefaultApi(inference.ApiClient(inference.Configuration(host=sys.argv[1])))
rules = management.DefaultApi(management.ApiClient(management.Configuration(host=sys.argv[2])))

def describe():
    described = rules.describe_model("echo")
    return described[0] if isinstance(described, list) else described

told = {"ping": asks.ping().status}
rules.register_model(url="echo.mar", initial_workers=1, synchronous=True)
told["models"] = [model.model_name for model in rules.list_models().models]
wanted = [describe().min_workers]
rules.set_auto_scale("echo", min_worker=2, synchronous=True)
told["wanted"] = [*wanted, describe().min_workers]
told["workers"] = len(describe().workers)
told["json"] = asks.predictions("echo", {"a": [1, 2]}).decode()
told["bytes"] = asks.predictions("echo", bytes((0, 255)), _content_type="application/octet-stream").hex()
told["unregistered"] = rules.unregister_model("echo").status
try:
    asks.predictions("echo", {})
except inference.ApiException as error:
    told["refusal"] = [error.status, error.data.type, error.data.message]
print(json.dumps(told))
"""


def program(name: str) -> str:
    """Where a program is, or an empty text."""
    return shutil.which(name, path=FOLDER) or ""


PYTHON_CLIENT, GENERATOR = program("openapi-python-client"), program("openapi-generator-cli")
HAS_JAVA = shutil.which("java") is not None


@pytest.mark.timeout(4 * LONGEST)
class GeneratedClientTests(ServerTests):
    """Register, scale, predict and unregister, in both dialects."""

    def check(self, generate: Sequence[str], script: str, dialect: str) -> None:
        """
        Generate a client for each listener, and run a script with both.

        :param generate: the generator and its options; ``{file}`` is the description, ``{name}`` the package.
        """
        server = self.start({**OPEN, "dialect": dialect}, models={"echo": ECHO})
        folder = TemporaryDirectory(prefix="modelserver-clients-")
        self.addCleanup(folder.cleanup)
        for name, port in zip(LISTENERS, server.ports, strict=False):
            self.describe(port, Path(folder.name) / f"{name}.json")
            self.run_in(folder.name, [word.format(file=f"{name}.json", name=name) for word in generate])
        urls = [f"http://{HOST}:{port}" for port in server.ports[:2]]
        # The clients import what stands beside their generator.
        python = Path(generate[0]).with_name("python")
        told = self.run_in(folder.name, [str(python), "-c", script, *urls])
        self.assertEqual(json.loads(told), TOLD)

    def describe(self, port: int, target: Path) -> None:
        """Keep what a listener tells of itself."""
        answer = ask(port, "OPTIONS", "/")
        self.assert_ok(answer)
        target.write_text(answer.text)

    def run_in(self, folder: str, command: Sequence[str]) -> str:
        """What a program prints."""
        path = {"PYTHONPATH": os.pathsep.join((folder, *(f"{folder}/{name}-project" for name in LISTENERS)))}
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **path},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def check_python_client(self, dialect: str) -> None:
        """With openapi-python-client."""
        options = ("generate", "--path", "{file}", "--output-path", "{name}", "--meta", "none")
        self.check((PYTHON_CLIENT, *options), OPENAPI_PYTHON_CLIENT, dialect)

    def check_generator(self, dialect: str) -> None:
        """With openapi-generator's client for Python."""
        options = (
            "generate",
            "-g",
            "python",
            "-i",
            "{file}",
            "-o",
            "{name}-project",
            "--package-name",
            "{name}",
        )
        self.check((GENERATOR, *options), OPENAPI_GENERATOR, dialect)

    @skipUnless(PYTHON_CLIENT, "there is no openapi-python-client: make clients")
    def test_openapi_python_client(self) -> None:
        self.check_python_client("torchserve")

    @skipUnless(PYTHON_CLIENT, "there is no openapi-python-client: make clients")
    def test_openapi_python_client_of_mms(self) -> None:
        self.check_python_client("mms")

    @skipUnless(GENERATOR and HAS_JAVA, "there is no openapi-generator-cli, or no Java: make clients")
    def test_openapi_generator(self) -> None:
        self.check_generator("torchserve")

    @skipUnless(GENERATOR and HAS_JAVA, "there is no openapi-generator-cli, or no Java: make clients")
    def test_openapi_generator_of_mms(self) -> None:
        self.check_generator("mms")
