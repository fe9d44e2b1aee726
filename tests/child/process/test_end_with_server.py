"""The end of a process that runs a handler, when the server is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from modelserver.protocol.descriptors import LIFELINE_FD

PROGRAM = f"""
import os, subprocess, sys
from modelserver.child.process import bootstrap
os.dup2(int(sys.argv[1]), {LIFELINE_FD}, inheritable=False)
os.setpgid(0, 0)
if sys.argv[2] == "asked":
    bootstrap.die_with({LIFELINE_FD})
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
bootstrap.end_with_server(0)
"""


class EndTests(SynchronousTestCase):
    """The socket ends first, the lifeline a moment later."""

    def start(self, kernel: str) -> tuple[subprocess.Popen[bytes], int]:
        """Start such a process that has started another; return it and the lifeline's write end."""
        read, write = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(read), kernel],
            pass_fds=(read,),
            stdout=subprocess.PIPE,
        )
        os.close(read)
        self.addCleanup(process.wait)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.child = os.pidfd_open(int(process.stdout.readline()))
        self.addCleanup(os.close, self.child)
        return process, write

    def end_child(self) -> None:
        """Kill what was started; it is another's child, and need not be reaped here."""
        signal.pidfd_send_signal(self.child, signal.SIGKILL)

    def test_the_whole_group_goes_with_the_server(self) -> None:
        for kernel in ("asked", "not asked"):
            with self.subTest(kernel):
                process, write = self.start(kernel)
                os.close(write)
                self.assertEqual(process.wait(60), -signal.SIGKILL)
                # The output is closed when nobody is left who could write to it.
                assert process.stdout is not None
                self.assertEqual(process.stdout.read(), b"")

    def test_a_server_that_lives_ends_the_group_itself(self) -> None:
        process, write = self.start("asked")
        self.addCleanup(os.close, write)
        self.assertEqual(process.wait(60), 0)
        self.end_child()
