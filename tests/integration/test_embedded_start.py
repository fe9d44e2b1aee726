"""The plugin in a process that is not the server's alone: what a start that fails leaves behind."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

EMBEDDING = """
import gc, json, sys
from modelserver.tap import Options, makeService
gc.set_threshold(701, 9, 8)
if sys.argv[1] == "off":
    gc.disable()
options = Options()
options.parseOptions(sys.argv[2:])
was = gc.isenabled()
try:
    makeService(options).privilegedStartService()
except SystemExit as error:
    print(json.dumps([str(error), was, gc.isenabled(), *gc.get_threshold()]))
"""
"""Reads the options, begins to start the server, and tells why that fails and what is collected then."""


class EmbeddedStartTests(SynchronousTestCase):
    """A server that cannot start, in a process that goes on without it."""

    def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = Path(temporary.name)

    def fail_to_start(self, collecting: str, properties: str) -> list[object]:
        """Start with a configuration file that cannot be used; return what the process tells."""
        configuration = self.folder / "config.properties"
        configuration.write_text(properties)
        words = (sys.executable, "-c", EMBEDDING, collecting, "--model-store", str(self.folder))
        ran = subprocess.run(
            (*words, "--ts-config", str(configuration)),
            capture_output=True,
            check=False,
            cwd=self.folder,
            text=True,
            timeout=60,
        )
        self.assertEqual((0, 1), (ran.returncode, len(ran.stdout.splitlines())), ran.stderr)
        told: list[object] = json.loads(ran.stdout)
        return told

    def test_wrong_options_leave_the_search_for_garbage_as_it_was(self) -> None:
        for collecting in ("on", "off"):
            reason, *found = self.fail_to_start(collecting, "idle_timeout=never\n")
            self.assertIn("idle_timeout", str(reason))
            self.assertEqual([False, collecting == "on", 701, 9, 8], found)

    def test_a_port_in_use_leaves_the_search_for_garbage_as_it_was(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            ports = "".join(f"{name}_address=http://127.0.0.1:0\n" for name in ("management", "metrics"))
            reason, *found = self.fail_to_start(
                "on", f"inference_address=http://127.0.0.1:{port}\n{ports}enable_grpc=false\n"
            )
        self.assertIn("in use", str(reason))
        self.assertEqual([False, True, 701, 9, 8], found)
