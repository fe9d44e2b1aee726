"""
Clients of other servers' protocols: Triton's own against the /v2 routes, SageMaker's contract, curl.

Triton's client is looked for among what is installed and in ``MODELSERVER_REAL_PACKAGES``.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from typing import Any
from unittest import SkipTest, skipUnless

import pytest

from tests.harness.server_process import HOST, LONGEST, ServerProcess, ServerTests, eventually

pytestmark = pytest.mark.xdist_group("open_inference")

PACKAGES = os.environ.get("MODELSERVER_REAL_PACKAGES", "")
DOUBLE = """
import numpy

def handle(data, context):
    if data is None:
        return None
    return [numpy.asarray(tensor["data"]) * 2 for tensor in data]
"""
CONFIG = """
inputs:
  - {name: x, datatype: FP32, shape: [-1, 3]}
outputs:
  - {name: y, datatype: FP32, shape: [-1, 3]}
"""
SHOW = """
import json

def shown(value):
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray)) else value

def handle(data, context):
    return [json.dumps({name: shown(value) for name, value in row.items()}) for row in data or []]
"""
TOKENS_OFF = {"disable_token_authorization": "true", "enable_model_api": "true"}


class TritonClientTests(ServerTests):
    """``tritonclient[http]``."""

    client: Any

    def setUp(self) -> None:
        if PACKAGES and PACKAGES not in sys.path:
            sys.path.append(PACKAGES)
            self.addCleanup(sys.path.remove, PACKAGES)
        try:
            self.triton = importlib.import_module("tritonclient.http")
            self.numpy = importlib.import_module("numpy")
        except ImportError as error:
            raise SkipTest(f"no Triton client: {error}") from error
        self.server = self.start(
            {**TOKENS_OFF, "service_envelope": "kservev2", "ts_open_inference_protocol": "true"}
        )
        config = self.server.folder / "model-config.yaml"
        config.write_text(CONFIG)
        self.add_model(self.server, "double", DOUBLE, config_file=str(config))
        self.assert_ok(self.server.register("double.mar"))
        self.client = self.triton.InferenceServerClient(f"{HOST}:{self.server.ports[0]}")
        self.addCleanup(self.client.close)

    def infer(self, values: Any, datatype: str, sends_binary: bool, wants_binary: bool) -> Any:
        tensor = self.triton.InferInput("x", list(values.shape), datatype)
        tensor.set_data_from_numpy(values, binary_data=sends_binary)
        wanted = self.triton.InferRequestedOutput("y", binary_data=wants_binary)
        return self.client.infer("double", [tensor], outputs=[wanted], request_id="mine")

    def test_infer(self) -> None:
        for datatype, kind in (
            ("FP32", "float32"),
            ("INT64", "int64"),
            ("FP64", "float64"),
            ("UINT8", "uint8"),
        ):
            values = self.numpy.array([[1, 2, 3], [4, 5, 6]], kind)
            for sends_binary in (False, True):
                for wants_binary in (False, True):
                    with self.subTest(f"{datatype} {sends_binary} {wants_binary}"):
                        result = self.infer(values, datatype, sends_binary, wants_binary)
                        found = result.as_numpy("y")
                        self.assertEqual(found.shape, (2, 3))
                        self.assertEqual(found.tolist(), (values * 2).tolist())
                        self.assertEqual(result.get_response()["id"], "mine")
                        self.assertEqual(result.get_response()["model_name"], "double")

    def test_infer_of_a_version(self) -> None:
        values = self.numpy.array([1, 2, 3], "float32")
        tensor = self.triton.InferInput("x", [3], "FP32")
        tensor.set_data_from_numpy(values)
        result = self.client.infer("double", [tensor], model_version="1.0")
        self.assertEqual(result.as_numpy("x").tolist(), [2.0, 4.0, 6.0])

    def test_health(self) -> None:
        self.assertTrue(self.client.is_server_live())
        self.assertTrue(self.client.is_server_ready())
        self.assertTrue(self.client.is_model_ready("double"))
        self.assertTrue(self.client.is_model_ready("double", "1.0"))
        self.assertFalse(self.client.is_model_ready("nobody"))
        self.server.scale("double", 0)
        self.assertFalse(self.client.is_model_ready("double"))

    def test_metadata(self) -> None:
        server = self.client.get_server_metadata()
        self.assertIn("binary_tensor_data", server["extensions"])
        model = self.client.get_model_metadata("double")
        self.assertEqual((model["name"], model["versions"]), ("double", ["1.0"]))
        self.assertEqual(model["inputs"], [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}])
        self.assertEqual(model["outputs"], [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}])

    def test_unknown_model_is_an_error(self) -> None:
        tensor = self.triton.InferInput("x", [1], "FP32")
        tensor.set_data_from_numpy(self.numpy.array([1], "float32"))
        with self.assertRaises(self.triton.InferenceServerException):
            self.client.infer("nobody", [tensor])


class SageMakerTests(ServerTests):
    """A container's contract: ``/ping`` and ``/invocations`` on one port."""

    def setUp(self) -> None:
        self.server = self.start(
            {**TOKENS_OFF, "default_workers_per_model": "1"},
            ["--models", "only=only.mar"],
            models={"only": SHOW, "other": SHOW},
        )
        eventually(lambda: self.server.predict("only").status == 200)

    def test_ping_has_no_conditions(self) -> None:
        self.assertEqual(self.server.inference("GET", "/ping").status, 200)

    def test_invocation_of_the_only_model(self) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self.server.inference("POST", "/invocations", b'{"a": 1}', headers)
        self.assertEqual(answer.json(), {"body": {"a": 1}})

    def test_invocation_of_one_of_several(self) -> None:
        self.assert_ok(self.server.register("other.mar"))
        answer = self.server.inference("POST", "/models/other/invoke", b"x")
        self.assertEqual(answer.json(), {"body": "x"})


class ModelNameTests(ServerTests):
    """``/invocations`` where the server cannot know which model is meant."""

    def test_name_is_taken_from_query_or_form(self) -> None:
        server = self.start(TOKENS_OFF, models={"one": SHOW, "two": SHOW})
        for name in ("one", "two"):
            self.assert_ok(server.register(f"{name}.mar"))
        part = b'--B\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        multipart = part % (b"model_name", b"two") + part % (b"a", b"1") + b"--B--\r\n"
        for path, body, kind in (
            ("/invocations?model_name=two&a=1", b"", "text/plain"),
            ("/invocations", b"model_name=two&a=1", "application/x-www-form-urlencoded"),
            ("/invocations", multipart, "multipart/form-data; boundary=B"),
        ):
            with self.subTest(kind):
                answer = server.inference("POST", path, body, {"Content-Type": kind})
                self.assert_ok(answer)
                self.assertEqual((answer.json()["model_name"], answer.json()["a"]), ("two", "1"))
        answer = server.inference("POST", "/invocations", b"x")
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.json()["type"], "BadRequestException")
        self.assertEqual(answer.json()["message"], "Parameter model_name is required.")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        for path, body, headers in (
            ("/invocations?model_name=", b"x", {}),
            ("/invocations?model_name=", b"model_name=two", form),
            ("/invocations", b"model_name=&model_name=two", form),
        ):
            with self.subTest(path, body=body):
                answer = server.inference("POST", path, body, headers)
                self.assertEqual(answer.status, 404)
                self.assertEqual(answer.json()["message"], "Model not found: ")


@skipUnless(shutil.which("curl"), "curl is not installed")
class CurlTests(ServerTests):
    """The commands of the peers' documents."""

    def curl(self, server: ServerProcess, *arguments: str) -> Any:
        url = f"http://{HOST}:{server.ports[0]}/predictions/show"
        command = ["curl", "-sS", "--fail", url, *arguments]
        done = subprocess.run(command, capture_output=True, check=True, timeout=LONGEST, cwd=server.folder)
        return json.loads(done.stdout)

    def test_curl(self) -> None:
        server = self.start(TOKENS_OFF, models={"show": SHOW})
        self.assert_ok(server.register("show.mar"))
        (server.folder / "kitten.jpg").write_bytes(b"\xff\xd8 a kitten")
        (server.folder / "sample.txt").write_text("a text")
        kitten = "\xff\xd8 a kitten"
        for arguments, row in (
            (("-T", "kitten.jpg"), {"body": kitten}),
            (("-F", "data=@kitten.jpg"), {"data": kitten}),
            (("-F", "img1=@kitten.jpg", "-F", "img2=@kitten.jpg"), {"img1": kitten, "img2": kitten}),
            (("-F", "data=@sample.txt"), {"data": "a text"}),
            (("-F", "data=a field"), {"data": "a field"}),
            (("-d", "a=1&b=2"), {"a": "1", "b": "2"}),
            (
                ("-X", "POST", "-H", "Content-Type: application/json", "-d", '{"k": [1]}'),
                {"body": {"k": [1]}},
            ),
            (("--data-binary", "@kitten.jpg", "-H", "Content-Type: image/jpeg"), {"body": kitten}),
            (("-H", "Expect: 100-continue", "-T", "kitten.jpg"), {"body": kitten}),
            (("-H", "Transfer-Encoding: chunked", "-T", "kitten.jpg"), {"body": kitten}),
        ):
            with self.subTest(" ".join(arguments)):
                self.assertEqual(self.curl(server, *arguments), row)
