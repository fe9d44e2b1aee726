"""The server under a service manager: what it tells, and ports that were bound for it."""

from __future__ import annotations

import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness.server_process import LONGEST, TWISTD, ServerProcess, ServerTests

pytestmark = pytest.mark.xdist_group("systemd")

MOST = 200
"""Messages; the watchdog hears two in a second."""
ACTIVATE = f"""
import os, re, socket, sys

config = open(sys.argv[sys.argv.index("--ts-config") + 1]).read()
port = int(re.search(r"^inference_address=http://127.0.0.1:(\\d+)$", config, re.M)[1])
listening = socket.create_server(("127.0.0.1", port))
if listening.fileno() != 3:
    os.dup2(listening.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {{"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}}
NAMES
os.execv(sys.executable, [sys.executable, "-c", {TWISTD!r}, *sys.argv[1:]])
"""
"""Does what systemd does before it starts the service of a socket; the port cannot be bound again."""
NAMES = 'os.environ["LISTEN_FDNAMES"] = "modelserver.socket"'
VARIABLES = """
import os


def handle(data, context):
    names = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    return None if data is None else [str([name for name in names if name in os.environ])] * len(data)
"""


class NotifyTests(ServerTests):
    """``Type=notify``."""

    def test_from_start_to_end(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = str(Path(folder.name) / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
            listening.bind(path)
            listening.settimeout(LONGEST)
            server = self.start(
                {"disable_token_authorization": "true", "enable_model_api": "true"},
                environment={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"},
            )
            said = self.heard(listening, "READY=1")
            self.assertTrue(said[0][0].startswith("STATUS="), said)
            self.assertIn("STATUS=models: 0, workers: 0 of 0 ready", said[-1])
            server.add_model("variables", VARIABLES)
            self.assert_ok(server.register("variables.mar", initial_workers=1, synchronous="true"))
            self.assertEqual("[]", server.predict("variables", b"x").text)
            self.assertIn("WATCHDOG=1", self.heard(listening, "STATUS=models: 1, workers: 1 of 1 ready")[-1])
            server.terminate()
            self.heard(listening, "STOPPING=1")
            listening.setblocking(False)
            self.assertRaises(BlockingIOError, listening.recv, 1)

    def heard(self, listening: socket.socket, line: str) -> list[list[str]]:
        """What is said until something is."""
        said: list[list[str]] = []
        for _ in range(MOST):
            said.append(listening.recv(1000).decode().splitlines())
            if line in said[-1]:
                return said
        raise AssertionError(f"{line} was not said: {said}")


class ActivationTests(ServerTests):
    """``modelserver.socket``."""

    def test_a_port_that_is_bound_already(self) -> None:
        self.serve(NAMES)

    def test_as_systemd_socket_activate_does_it(self) -> None:
        self.serve("")

    def serve(self, names: str) -> None:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        properties = {"disable_token_authorization": "true"}
        server = ServerProcess(
            Path(folder.name), properties, program=("-c", ACTIVATE.replace("NAMES", names))
        )
        server.start()
        self.addCleanup(server.end)
        self.assertEqual({"live": True}, server.inference("GET", "/health/live").json())
