"""Requirements of an archive, installed by pip from files that lie beside it, and used by its handler."""

from __future__ import annotations

import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.harness.parcels import has_pip, make_wheel
from tests.harness.server_process import ServerProcess, ServerTests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HANDLER = """
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
import parcel

def handle(data, context):
    return [f"{parcel.__version__} {sys.prefix}" for row in data or []]
"""


@pytest.mark.skipif(not has_pip(), reason="this interpreter has no pip")
class RequirementsTests(ServerTests):
    """``install_py_dep_per_model=true``."""

    def setUp(self) -> None:
        self.server = self.start(
            {
                "install_py_dep_per_model": "true",
                "allow_requirements_options": "true",
                "disable_token_authorization": "true",
                "enable_model_api": "true",
            }
        )
        self.wheels = self.server.folder / "wheels"
        self.wheels.mkdir()

    def add(self, server: ServerProcess, name: str, version: str, **more: object) -> None:
        requirements = server.folder / "wanted.txt"
        requirements.write_text(f"--no-index\n--find-links {self.wheels}\nparcel=={version}\n")
        self.add_model(server, name, HANDLER, requirements_file=str(requirements), **more)

    def test_two_models_have_two_versions_of_one_package(self) -> None:
        for name, version in (("one", "1.0"), ("two", "2.0")):
            make_wheel(self.wheels, version)
            self.add(self.server, name, version)
            self.assert_ok(self.server.register(f"{name}.mar"))
        self.assertTrue(self.server.predict("one").text.startswith("1.0 "))
        self.assertTrue(self.server.predict("two").text.startswith("2.0 "))
        self.assertIn("Successfully installed parcel-1.0", self.server.log)
        self.assertNotIn("parcel", sys.modules)

    def test_failure_shows_pips_last_lines_and_registers_nothing(self) -> None:
        self.add(self.server, "one", "9.0")
        answer = self.server.register("one.mar")
        self.assertEqual(answer.status, 400)
        body = answer.json()
        self.assertEqual(body["type"], "ModelException")
        self.assertEqual(body["message"], "Custom pip package installation failed for model one")
        self.assertIn("parcel==9.0", body["reason"])
        self.assertEqual(self.server.management("GET", "/models/one").status, 404)
        make_wheel(self.wheels, "9.0")
        self.assert_ok(self.server.register("one.mar"))

    def test_virtual_environment(self) -> None:
        make_wheel(self.wheels, "1.0")
        config = self.server.folder / "model-config.yaml"
        config.write_text("useVenv: true\n")
        self.add(self.server, "one", "1.0", config_file=str(config))
        self.assert_ok(self.server.register("one.mar"))
        version, prefix = self.server.predict("one").text.split()
        self.assertEqual(version, "1.0")
        self.assertIn("environments", prefix)

    def test_installation_ends_with_the_server(self) -> None:
        """One whose index does not answer; no process and no folder of it is left."""
        with socket.create_server(("127.0.0.1", 0)) as index:
            requirements = self.server.folder / "wanted.txt"
            requirements.write_text(f"--index-url http://127.0.0.1:{index.getsockname()[1]}/\nparcel\n")
            self.add_model(self.server, "one", HANDLER, requirements_file=str(requirements))
            with ThreadPoolExecutor(1) as threads:
                registered = threads.submit(self.server.register, "one.mar")
                asked, _ = index.accept()
                with asked:
                    (pip,) = self.server.children()
                    self.server.terminate()
                    self.assertEqual(registered.result().status, 503)
                    # The end of the process ends its connection, if it has not sent what is read.
                    while asked.recv(1 << 16):
                        pass
        self.assertRaises(ProcessLookupError, os.kill, pip, 0)
        self.assertEqual(list(self.server.temporary.iterdir()), [])
