"""Requirements of an archive, installed by pip from files that lie beside it, and used by its handler."""

from __future__ import annotations

import sys

import pytest

from tests.harness.parcels import has_pip, make_wheel
from tests.harness.server_process import ServerProcess, ServerTests

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HANDLER = """
import sys
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
