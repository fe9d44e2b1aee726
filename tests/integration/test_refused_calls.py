"""Servers on systems that refuse calls of newer kernels, as containers' profiles do."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import skipUnless

from modelserver.protocol import fence
from tests.harness import refusing_system_calls
from tests.harness.server_process import ServerProcess, ServerTests, eventually

PROGRAM = Path(refusing_system_calls.__file__)
TWISTD = "from twisted.scripts.twistd import run; run()"
OBEY = """
import os

def handle(data, context):
    if data is None:
        return None
    body = bytes(data[0].get("body") or b"")
    if body == b"die":
        os.kill(os.getpid(), 9)
    return [body] * len(data)
"""
LARGE = b"x" * 400_000


@skipUnless(refusing_system_calls.is_supported(), "no table of this machine's system calls")
class RefusedCallsTests(ServerTests):
    """Models load, answer, die, come back and leave, whatever of the newer calls is refused."""

    def start_refusing(self, error: int, *names: str) -> ServerProcess:
        folder = TemporaryDirectory(prefix="modelserver-test-")
        self.addCleanup(folder.cleanup)
        program = (str(PROGRAM), str(error), ",".join(names), sys.executable, "-c", TWISTD)
        server = ServerProcess(Path(folder.name), program=program)
        server.store.mkdir()
        self.add_model(server, "obey", OBEY)
        server.start()
        self.addCleanup(server.end)
        return server

    def check(self, server: ServerProcess) -> None:
        """Go through a model's life."""
        self.assert_ok(server.register("obey.mar"))
        for body in (b"small", LARGE):
            self.assertEqual(server.predict("obey", body).body, body)
        (first,) = server.pids("obey")
        self.assertEqual(server.predict("obey", b"die").status, 500)
        eventually(lambda: server.ready("obey") == 1 and server.pids("obey") != [first])
        self.assertEqual(server.predict("obey", b"again").body, b"again")
        self.assert_ok(server.scale("obey", 2))
        self.assert_ok(server.management("DELETE", "/models/obey"))
        eventually(lambda: not server.children())
        server.terminate()
        self.assertIn("Server Shut Down.", server.log)

    def test_no_descriptors_of_processes(self) -> None:
        for error in (errno.ENOSYS, errno.EPERM):
            with self.subTest(errno.errorcode[error]):
                server = self.start_refusing(error, "pidfd_open")
                self.check(server)
                self.assertIn("This system refuses pidfd_open", server.log)
                self.assertNotIn("memfd_create", server.log)

    def test_no_shared_memory(self) -> None:
        server = self.start_refusing(errno.EPERM, "memfd_create")
        self.check(server)
        self.assertIn("This system refuses memfd_create", server.log)

    def test_nothing_is_told_where_nothing_is_refused(self) -> None:
        server = self.start(models={"obey": OBEY})
        self.check(server)
        self.assertNotIn("This system refuses", server.log)

    def test_no_fences(self) -> None:
        server = self.start_refusing(errno.EPERM, "membarrier")
        self.check(server)
        self.assertEqual("This system refuses membarrier" in server.log, fence.IS_SUPPORTED)

    def test_nothing_new_at_all(self) -> None:
        refused = ("pidfd_open", "memfd_create", "eventfd2", "membarrier")
        self.check(self.start_refusing(errno.ENOSYS, *refused))
