"""The end of a child process, seen by a descriptor."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from unittest import TestCase

from modelserver.system.exit_descriptor import exit_descriptor

LONGEST = 30_000
"""Milliseconds after which a wait has failed."""


class ExitDescriptorTests(TestCase):
    """The descriptor can be read once the process has ended, and the process is left to be reaped."""

    def start(self) -> subprocess.Popen[bytes]:
        """Start a process that ends when its standard input closes."""
        process = subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(7)"], stdin=subprocess.PIPE
        )
        self.addCleanup(process.kill)
        return process

    def check(self) -> None:
        process = self.start()
        watch = exit_descriptor(process.pid)
        self.addCleanup(os.close, watch)
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        self.assertEqual(poll.poll(0), [])
        assert process.stdin is not None
        process.stdin.close()
        self.assertEqual(len(poll.poll(LONGEST)), 1)
        self.assertEqual(process.wait(30), 7)

    def test_by_the_kernel_or_by_a_thread(self) -> None:
        self.check()

    def test_by_a_thread(self) -> None:
        def refuse(pid: int) -> int:
            raise PermissionError(pid)

        if hasattr(os, "pidfd_open"):
            real = os.pidfd_open
            os.pidfd_open = refuse  # type: ignore[assignment]  # a system that refuses it
            self.addCleanup(setattr, os, "pidfd_open", real)
        self.check()
