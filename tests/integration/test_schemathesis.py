"""
Schemathesis asks a real server everything that its OpenAPI descriptions allow, and much that they do not.

It is run as a program, from ``PATH`` or where ``MODELSERVER_SCHEMATHESIS`` says, for it does not share an
environment with what the server needs. ``MODELSERVER_EXAMPLES`` sets how many examples it makes for each
operation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import skipUnless

import pytest

from tests.harness.server_process import HOST, ServerTests

PROGRAM = os.environ.get("MODELSERVER_SCHEMATHESIS") or shutil.which("schemathesis") or ""
EXAMPLES = os.environ.get("MODELSERVER_EXAMPLES", "20")
CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
LONGEST_RUN = 900.0
NOOP = "def handle(data, context):\n    return None if data is None else ['ok'] * len(data)\n"
OPEN = {"enable_model_api": "true", "disable_token_authorization": "true", "default_workers_per_model": "1"}


def excluded(listener: int, properties: Mapping[str, str]) -> Iterator[str]:
    """The checks that do not hold for a listener, and are not meant to."""
    # As in the peers, routes serve more methods than the one that is documented.
    yield "unsupported_method"
    yield "allow_header_conformance"
    if listener == 0:
        # A handler's answer is documented as bytes of any type, and mostly has no Content-Type.
        yield "content_type_conformance"
    if properties.get("strict_parameters") != "true":
        # More is taken than a client should send.
        yield "negative_data_rejection"


@pytest.mark.timeout(2 * LONGEST_RUN)
@skipUnless(PROGRAM, "there is no schemathesis")
class SchemathesisTests(ServerTests):
    """All checks, on both listeners, in both dialects, with both ways to read parameters."""

    def run_on(self, listener: int, properties: Mapping[str, str]) -> None:
        """Run it on one listener of a server that has one model with a worker."""
        server = self.start({**OPEN, **properties}, ["--models", "noop=noop.mar"], models={"noop": NOOP})
        folder = TemporaryDirectory(prefix="modelserver-schemathesis-")
        self.addCleanup(folder.cleanup)
        url = f"http://{HOST}:{server.ports[listener]}/api-description"
        done = subprocess.run(
            [
                *(PROGRAM, "--config-file", str(CONFIGURATION), "--no-color", "run", url),
                *("--checks", "all", "--max-examples", EXAMPLES, "--request-timeout", "60"),
                *("--continue-on-failure", "--generation-database", "none"),
                *("--exclude-checks", ",".join(excluded(listener, properties))),
            ],
            cwd=folder.name,
            capture_output=True,
            text=True,
            timeout=LONGEST_RUN,
            check=False,
        )
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        self.assertIsNone(server.process.poll())
        self.assertEqual([], [line for line in server.lines if "Traceback" in line])

    def test_inference(self) -> None:
        self.run_on(0, {})

    def test_inference_of_mms(self) -> None:
        self.run_on(0, {"dialect": "mms"})

    def test_management(self) -> None:
        self.run_on(1, {})

    def test_management_of_mms(self) -> None:
        self.run_on(1, {"dialect": "mms"})

    def test_strict_management(self) -> None:
        self.run_on(1, {"strict_parameters": "true"})

    def test_strict_management_of_mms(self) -> None:
        self.run_on(1, {"strict_parameters": "true", "dialect": "mms"})
