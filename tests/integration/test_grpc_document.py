"""What ``docs/grpc.md`` shows, run as it stands, but for the ports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase, skipUnless

import pytest

from tests.harness.packages import needs_protoc
from tests.harness.server_process import LONGEST, ServerProcess, ServerTests
from tests.integration.test_grpc_open_inference import CLIENTS, TENSORS
from tests.integration.test_grpc_predictions import ECHO, SEQUENCES, SUMS

pytestmark = pytest.mark.xdist_group("grpc-document")

DOCUMENT = Path(__file__).parents[2] / "docs" / "grpc.md"
GRPCURL = shutil.which("grpcurl")


def blocks(language: str, word: str) -> list[str]:
    """Return the blocks of a language that have a word in them."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [block for block in found if word in block]


class DocumentTests(ServerTests):
    """Every block."""

    def serve(self) -> ServerProcess:
        """Start a server with the models that the document asks."""
        server = self.start({"disable_token_authorization": "true", "enable_model_api": "true"}, has_rpc=True)
        for name, source, config in (
            ("echo", ECHO, ""),
            ("counter", SUMS, SEQUENCES),
            ("tensors", TENSORS, ""),
        ):
            server.add_model(name, source, config)
            self.assert_ok(server.register(f"{name}.mar"))
        return server

    def run_block(
        self, server: ServerProcess, block: str, program: Sequence[str], folder: str = "/tmp"
    ) -> str:
        """Run a block; return what it prints."""
        inference, management = server.rpc_ports
        text = block.replace("127.0.0.1:7070", f"127.0.0.1:{inference}")
        text = text.replace("127.0.0.1:7071", f"127.0.0.1:{management}")
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            [*program, text],
            cwd=folder,
            env={**os.environ, "PATH": path, "KEY": "none"},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        self.assertEqual(done.returncode, 0, f"{text}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    @needs_protoc
    def test_stubs_and_what_is_done_with_them(self) -> None:
        server = self.serve()
        (stubs,) = blocks("sh", "grpc_tools")
        predictions, sequences = blocks("python", "inference_pb2_grpc")
        with TemporaryDirectory() as folder:
            self.run_block(server, stubs, ["bash", "-ec"], folder)
            printed = self.run_block(server, predictions, [sys.executable, "-c"], folder)
            self.assertEqual(printed.split("\n")[0][:8], "b'hello'")
            self.assertEqual(printed.split("\n")[1], "b'hello'")
            printed = self.run_block(server, sequences, [sys.executable, "-c"], folder)
            self.assertEqual(printed, "".join(f"customer-7 {total!r}\n" for total in (b"0", b"1", b"3")))

    @skipUnless(CLIENTS, "MODELSERVER_GRPC_CLIENTS is not set")
    def test_triton(self) -> None:
        (block,) = blocks("python", "tritonclient")
        printed = self.run_block(self.serve(), block, [CLIENTS, "-c"])
        self.assertIn("[[1. 2. 3.]]", printed)

    @skipUnless(GRPCURL, "grpcurl is not on the PATH")
    def test_grpcurl(self) -> None:
        server = self.serve()
        for block in blocks("sh", "grpcurl"):
            for command in re.split(r"\n(?=grpcurl)", block.strip()):
                if "RegisterModel" in command:
                    self.assert_ok(server.management("DELETE", "/models/echo"))
                with self.subTest(command):
                    self.run_block(server, command, ["bash", "-ec"])


class BlockTests(TestCase):
    """The document itself."""

    def test_every_block_is_run_by_a_test(self) -> None:
        """A block of another kind would be shown, and never tried."""
        found = re.findall(r"^```(\w+)\n(.*?)^```$", DOCUMENT.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        words = {"sh": ("grpc_tools", "grpcurl"), "python": ("inference_pb2_grpc", "tritonclient")}
        for language, block in found:
            self.assertTrue(any(word in block for word in words[language]), block)
